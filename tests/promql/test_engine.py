"""The engine is Prometheus's: what it answers is known from how Prometheus documents its functions."""

import math

import pytest

from tests.promql.engine import STEP, Engine, Series

COUNTER = Series({"__name__": "asked_total", "pod": "a"}, tuple(60.0 * scrape for scrape in range(21)))


def test_a_rate_is_per_second(engine: Engine) -> None:
    [[line]] = engine.ask([COUNTER], ["rate(asked_total[5m])"], 20 * STEP)
    assert line.labels == {"pod": "a"}
    assert line.at(0) is None
    assert line.at(600) == pytest.approx(2)


def test_a_restart_of_a_counter_is_no_negative_rate(engine: Engine) -> None:
    restarted = Series(COUNTER.labels, (*COUNTER.values[:11], *COUNTER.values[:10]))
    [[line]] = engine.ask([restarted], ["rate(asked_total[5m])"], 20 * STEP)
    assert all(1.7 < value <= 2.01 for second, value in line.points.items() if second >= 300)


def test_a_quantile_is_interpolated_within_its_bucket(engine: Engine) -> None:
    counts = {"0.1": 0, "0.2": 50, "+Inf": 100}
    buckets = [
        Series({"__name__": "time_bucket", "le": le}, tuple(float(scrape * count) for scrape in range(21)))
        for le, count in counts.items()
    ]
    queries = [f"histogram_quantile({share}, sum by (le) (rate(time_bucket[5m])))" for share in (0.25, 0.5, 0.99)]
    answers = engine.ask(buckets, queries, 600)
    assert [line.at(600) for [line] in answers] == [pytest.approx(0.15), pytest.approx(0.2), pytest.approx(0.2)]


def test_a_scrape_that_finds_nothing_leaves_a_gap_after_five_minutes(engine: Engine) -> None:
    gone = Series({"__name__": "up"}, (1.0, 1.0, *(None for _ in range(19))))
    [[line]] = engine.ask([gone], ["up"], 600)
    # The last value is of second 30.
    assert max(line.points) == 300


def test_a_division_by_zero_is_no_number(engine: Engine) -> None:
    [[line]] = engine.ask([COUNTER], ["(asked_total * 0) / (asked_total * 0)"], 600)
    assert all(math.isnan(value) for value in line.points.values())


def test_what_cannot_be_parsed_is_told(engine: Engine) -> None:
    with pytest.raises(ValueError, match="parse error"):
        engine.ask([COUNTER], ["rate(asked_total[5m]"], 600)
