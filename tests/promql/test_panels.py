"""What the panels show of a day whose truth is known: an idle hour, a ramp, a plateau, a full KV cache, rest."""

import math
from bisect import bisect_left
from functools import cache

import pytest

from gke_llm_inference.catalog import ServerKind
from tests.promql.exposed import bounds_of
from tests.promql.traffic import ANSWER, CACHED, MINUTE, PROMPT, Measure, Replica, day, passing
from tests.promql.watched import PRICE, Shown

IDLE, PLATEAU, FULL, RESTING = 30 * MINUTE, 110 * MINUTE, 127 * MINUTE, 175 * MINUTE
SERVERS = pytest.mark.parametrize(
    ("kind", "version"),
    [("vllm", "0.33.0"), ("vllm", "0.26.0"), ("vllm", "0.10.0"), ("vllm", "0.6.0"), ("tgi", "3.3.7"), ("tgi", "2.3.1")],
)
VLLM = pytest.mark.parametrize("version", ["0.33.0", "0.26.0", "0.10.0", "0.6.0"])


@cache
def replicas_at(moment: int) -> tuple[Replica, ...]:
    """The truth."""
    *_, replicas = passing(day, moment)
    return replicas


@cache
def observed(measure: Measure, moment: int, window: int = 300) -> tuple[tuple[float, float], ...]:
    """What was observed in the window before a moment, over all replicas, sorted by value."""
    found = [
        one
        for second, replicas in enumerate(passing(day, moment))
        if second > moment - window
        for replica in replicas
        for one in replica.observed[measure]
    ]
    return tuple(sorted(found))


def percentile(measure: Measure, moment: int, share: float) -> float:
    """The truth, to which a histogram comes as near as its buckets are wide."""
    values = observed(measure, moment)
    rest = share * sum(times for _, times in values)
    for value, times in values:
        rest -= times
        if rest <= 0:
            return value
    raise AssertionError(moment)


@SERVERS
def test_running_and_waiting_requests_are_those_of_all_replicas(kind: ServerKind, version: str, shown: Shown) -> None:
    lines = shown(kind, version)
    for moment in (IDLE, PLATEAU, FULL, RESTING):
        replicas = replicas_at(moment)
        assert lines["Requests", "running"].at(moment) == sum(round(one.running) for one in replicas)
        assert lines["Requests", "waiting"].at(moment) == sum(round(one.waiting) for one in replicas)
    assert lines["Requests", "running"].at(FULL) == 80
    assert lines["Requests", "waiting"].at(PLATEAU) == 0


@SERVERS
def test_a_full_kv_cache_is_at_100_percent(kind: ServerKind, version: str, shown: Shown) -> None:
    lines = shown(kind, version)
    fullest, mean = lines["KV cache", "fullest replica"], lines["KV cache", "mean"]
    assert fullest.at(FULL) == mean.at(FULL) == 100
    assert fullest.at(IDLE) == 0
    # Replicas have 55 and 45 percent of the load.
    assert fullest.at(PLATEAU) == pytest.approx(100 * replicas_at(PLATEAU)[0].kv_cache)
    assert mean.at(PLATEAU) == pytest.approx(50 * sum(one.kv_cache for one in replicas_at(PLATEAU)))


@VLLM
def test_preemptions_are_those_of_a_full_kv_cache(version: str, shown: Shown) -> None:
    line = shown("vllm", version)["Preemptions", "preemptions"]
    # Each of the two full replicas preempts a request every ten seconds.
    assert line.at(FULL) == pytest.approx(12, rel=0.01)
    assert [line.at(moment) for moment in (IDLE, PLATEAU, RESTING)] == [0, 0, 0]


@SERVERS
def test_rates_are_what_flows(kind: ServerKind, version: str, shown: Shown) -> None:
    lines = shown(kind, version)
    assert lines["Finished requests", "finished"].at(PLATEAU) == pytest.approx(6, rel=0.01)
    assert lines["Tokens", "prompts"].at(PLATEAU) == pytest.approx(6 * PROMPT, rel=0.01)
    assert lines["Tokens", "answers"].at(PLATEAU) == pytest.approx(6 * ANSWER, rel=0.04)
    assert lines["Tokens", "answers"].at(IDLE) == 0
    # A full replica makes 40 tokens in 40 ms.
    assert lines["Tokens", "answers"].at(FULL) == pytest.approx(2000, rel=0.001)


@SERVERS
def test_percentiles_are_as_true_as_their_buckets(kind: ServerKind, version: str, shown: Shown) -> None:
    lines = shown(kind, version)
    panels: dict[str, Measure] = {
        "Time to first token": "ttft",
        "Time in the queue": "queue",
        "Time per output token": "token",
        "Time between tokens": "token",
        "Whole requests": "whole",
    }
    checked = 0
    for (title, name), line in lines.items():
        if title not in panels:
            continue
        measure, share = panels[title], float(name[1:]) / 100
        bounds = bounds_of(kind, measure)
        for moment in (PLATEAU, FULL, RESTING):
            told, true = line.at(moment), percentile(measure, moment, share)
            place = bisect_left(bounds, true)
            low, high = (bounds[place - 2] if place > 1 else 0), bounds[min(place + 1, len(bounds) - 1)]
            assert told is not None
            assert low <= told <= high, (title, name, moment, told, true)
            checked += 1
    assert checked >= 3 * 3 * 3


@VLLM
def test_the_queue_is_in_the_time_to_first_token(version: str, shown: Shown) -> None:
    lines = shown("vllm", version)
    at_rest, in_queue = (lines["Time to first token", "p90"].at(moment) for moment in (PLATEAU, FULL))
    assert at_rest is not None
    assert in_queue is not None
    assert at_rest < 0.5 < 100 < in_queue


@SERVERS
def test_latencies_of_an_idle_hour_are_no_number(kind: ServerKind, version: str, shown: Shown) -> None:
    lines = shown(kind, version)
    for (title, name), line in lines.items():
        if name.startswith("p") and name[1:].isdigit():
            value = line.at(IDLE)
            assert value is None or math.isnan(value), title
    assert lines["Cost per million output tokens", "all replicas"].at(IDLE) is None


@SERVERS
def test_prefix_hits_are_their_share_of_the_prompts(kind: ServerKind, version: str, shown: Shown) -> None:
    line = shown(kind, version).get(("Prefix cache", "hits"))
    if line is None:
        assert (kind, version) in {("vllm", "0.6.0"), ("tgi", "3.3.7"), ("tgi", "2.3.1")}
        return
    assert line.at(PLATEAU) == pytest.approx(100 * CACHED / PROMPT)
    assert line.at(IDLE) is None


@SERVERS
def test_gpus_are_those_of_the_server(kind: ServerKind, version: str, shown: Shown) -> None:
    lines = shown(kind, version)
    # The pods of chat-large, whose name begins the same, are busy at this time.
    assert lines["GPU utilization", "mean"].at(IDLE) == 0
    assert lines["GPU utilization", "least busy GPU"].at(FULL) == 100
    assert lines["GPU memory", "fullest GPU"].at(IDLE) == pytest.approx(80)


@SERVERS
def test_cost_is_the_price_of_the_replicas_over_their_tokens(kind: ServerKind, version: str, shown: Shown) -> None:
    lines = shown(kind, version)
    assert lines["Cost per hour", "all replicas"].at(IDLE) == pytest.approx(2 * PRICE)
    # 2000 tokens a second are 7.2 million an hour.
    assert lines["Cost per million output tokens", "all replicas"].at(FULL) == pytest.approx(2 * PRICE / 7.2, rel=0.001)
