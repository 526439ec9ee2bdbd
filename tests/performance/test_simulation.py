"""The scheduler: exact on loads that can be followed by hand, and properties on those that cannot."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.performance.load import Load, arrivals_ms
from gke_llm_inference.planning.performance.prediction import percentile, prediction_of
from gke_llm_inference.planning.performance.simulation import Served, attended_within, simulate
from gke_llm_inference.planning.performance.step_time import StepTimer
from gke_llm_inference.planning.performance.timer import step_timer
from tests.performance.support import FACTS, closed, limits, request, timer

NOISE = 0.03
"""Stated noise of a simulation: which requests share a step changes with the load."""


class Fixed(StepTimer):
    """Steps that take 10 ms, and 1 ms more per 100 prompt tokens, with a host that takes no time."""

    def __init__(self) -> None:
        pipeline = FACTS.pipeline.model_copy(
            update={"start_ms": 0.0, "start_sequence_ms": 0.0, "end_ms": 0.0, "output_ms": 0.0}
        )
        facts = FACTS.model_copy(update={"pipeline": pipeline})
        donor = timer(facts=facts)
        self.__dict__.update(donor.__dict__)

    @property
    def bursts(self) -> None:
        return None

    def gpu_ms(
        self, decoding: int, context: float, prefill: int, attended: float, prefilling: int, windowed: float = 0.0
    ) -> float:
        return 10.0 + prefill / 100

    def host_ms(self, decoding: int, prefill: int, joined: bool = False) -> float:
        return 0.0

    def request_ms(self, prompt: int) -> float:
        return 0.0


class Taking(Fixed):
    """The same with a host that takes 1 ms to take in 100 tokens of a prompt."""

    def request_ms(self, prompt: int) -> float:
        return prompt / 100


def test_one_request_takes_its_prefill_and_a_step_per_token() -> None:
    served = simulate(Fixed(), limits(), closed(1, 1, prompt=200, output=11))
    assert served.first_ms == pytest.approx((12.0,))
    assert served.between_ms == pytest.approx((10.0,))
    assert served.duration_ms == pytest.approx(12 + 10 * 10)
    assert served.steps == 11


def test_requests_are_taken_in_before_the_next_step() -> None:
    # Three prompts of 200 tokens come at once: 6 ms, then a step of 16 ms.
    served = simulate(Taking(), limits(), closed(3, 3, prompt=200, output=1))
    assert served.first_ms == pytest.approx((22.0,) * 3)


def test_a_step_waits_for_a_request_that_comes_meanwhile() -> None:
    # One decodes from 12 ms on, a step of 10 ms each; another's 5,000 tokens come in the second of them.
    load = Load(prompts=(200, 5000), outputs=(11, 1), arrivals_ms=(0.0, 25.0))
    without, taking = (simulate(one, limits(batched_tokens=10_000), load) for one in (Fixed(), Taking()))
    assert taking.first_ms[0] == pytest.approx(without.first_ms[0] + 2)
    # Its tokens are read while the GPU works on the step before: what is left of 50 ms is waited for.
    assert 40 < taking.first_ms[1] - without.first_ms[1] <= 52


def test_a_prompt_is_cut_at_the_tokens_of_a_step() -> None:
    served = simulate(Fixed(), limits(batched_tokens=100), closed(1, 1, prompt=250, output=1))
    assert served.steps == 3
    assert served.first_ms == pytest.approx((11 + 11 + 10.5,))


def test_decodes_come_before_prompts() -> None:
    # The second request's prompt gets 99 tokens of a step beside the first one's token.
    load = Load(prompts=(50, 150), outputs=(20, 1), arrivals_ms=(0.0, 15.0))
    served = simulate(Fixed(), limits(batched_tokens=100), load)
    # Steps end at 10.5, 20.5, 30.5 (scheduled before the arrival), 41.49 (99 tokens) and 52.0 (51 tokens).
    assert served.first_ms[1] == pytest.approx(52.0 - 15.0, abs=11)
    assert served.between_ms[0] is not None
    assert 10.0 < served.between_ms[0] < 10.2


def test_cached_prefixes_are_not_computed_again() -> None:
    plain = simulate(Fixed(), limits(), closed(1, 1, prompt=1600, output=1))
    cached = simulate(Fixed(), limits(prefix_hit_rate=0.5), closed(1, 1, prompt=1600, output=1))
    assert plain.first_ms[0] - cached.first_ms[0] == pytest.approx(8.0)


def test_a_prompt_that_is_wholly_cached_computes_its_last_block() -> None:
    served = simulate(Fixed(), limits(prefix_hit_rate=1.0), closed(1, 1, prompt=1600, output=1))
    assert served.first_ms[0] == pytest.approx(10.16)


def test_no_more_than_the_limit_run_at_once() -> None:
    served = simulate(Fixed(), limits(sequences=2), closed(4, 4, prompt=100, output=10))
    assert sum(first > 100 for first in served.first_ms) == 2


def test_a_request_waits_for_room_in_the_pool() -> None:
    served = simulate(Fixed(), limits(pool_tokens=250), closed(2, 2, prompt=200, output=10))
    assert served.preemptions == 0
    assert served.first_ms[1] > 100


def test_the_youngest_request_gives_way_when_the_pool_is_full() -> None:
    served = simulate(Fixed(), limits(pool_tokens=260), closed(2, 2, prompt=100, output=60))
    assert served.preemptions >= 1
    assert served.output_tokens == 120
    assert served.between_ms[0] == pytest.approx(10.0, rel=0.05)
    assert served.between_ms[1] is not None
    assert served.between_ms[1] > 11


def test_the_api_server_adds_to_the_first_token() -> None:
    plain = simulate(Fixed(), limits(), closed(1, 1, prompt=1000, output=1))
    slower = simulate(Fixed(), limits(request_ms=5.0, token_ms=0.01), closed(1, 1, prompt=1000, output=1))
    assert slower.first_ms[0] - plain.first_ms[0] == pytest.approx(15.0)


def test_a_closed_loop_keeps_its_number_in_flight() -> None:
    served = simulate(Fixed(), limits(), closed(4, 40, prompt=10, output=10))
    in_flight = sum(
        first + 9 * (between or 0) for first, between in zip(served.first_ms, served.between_ms, strict=True)
    )
    assert in_flight / served.duration_ms == pytest.approx(4, rel=0.1)


class Waiting(Fixed):
    """The same, whose scheduler waits for the tokens of a step."""

    @property
    def ahead(self) -> bool:
        return False


def test_tokens_of_a_step_come_out_at_its_end_where_nothing_runs_ahead() -> None:
    waiting = simulate(Waiting(), limits(), closed(2, 6, prompt=200, output=11))
    # Two prompts of 200 tokens take 14 ms, then ten steps of 10 ms make the rest; the next two begin at once.
    assert waiting.first_ms == pytest.approx((14.0,) * 6)
    assert waiting.between_ms == pytest.approx((10.0,) * 6)
    assert waiting.duration_ms == pytest.approx(3 * 114.0)


def test_a_prompt_waits_for_one_step_less_where_nothing_runs_ahead() -> None:
    load = Load(prompts=(50, 150), outputs=(20, 1), arrivals_ms=(0.0, 15.0))
    ahead, waiting = (simulate(server, limits(), load) for server in (Fixed(), Waiting()))
    # Steps end at 10.5, 20.5 and, with the second prompt, 32.0.
    assert waiting.first_ms[1] == pytest.approx(32.0 - 15.0)
    assert ahead.first_ms[1] == pytest.approx(42.0 - 15.0)


def test_jumps_change_nothing_where_nothing_runs_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    load = closed(4, 12, prompt=300, output=90)
    server = step_timer(request(), FACTS.gpus["nvidia-h100-80gb"], load_catalog().memory, FACTS, speculative_tokens=4)
    jumped = simulate(server, limits(), load)
    monkeypatch.setattr("gke_llm_inference.planning.performance.simulation._EXACT_STEPS", 10**9)
    assert jumped.duration_ms == pytest.approx(simulate(server, limits(), load).duration_ms, rel=1e-3)


def test_accepted_guesses_make_more_tokens_of_the_same_steps() -> None:
    plain = simulate(Waiting(), limits(), closed(1, 1, prompt=200, output=21))
    double = simulate(Waiting(), limits(tokens_per_step=2.0), closed(1, 1, prompt=200, output=21))
    assert (plain.steps, double.steps) == (21, 11)
    assert double.output_tokens == plain.output_tokens == 21
    assert double.first_ms == plain.first_ms
    assert double.between_ms == pytest.approx((5.0,))
    assert double.duration_ms == pytest.approx(12 + 100)


def test_positions_within_a_window() -> None:
    for before, chunk, window in ((0, 5, 3), (2, 4, 3), (10, 4, 3), (0, 3, 8), (7, 1, 8)):
        expected = sum(min(before + offset + 1, window) for offset in range(chunk))
        assert attended_within(before, chunk, window) == expected


def test_jumps_change_nothing_but_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Load(
        prompts=tuple(100 + 37 * n % 900 for n in range(60)),
        outputs=tuple(20 + 53 * n % 180 for n in range(60)),
        arrivals_ms=arrivals_ms(8, 60),
    )
    jumped = simulate(timer(), limits(), load)
    monkeypatch.setattr("gke_llm_inference.planning.performance.simulation._EXACT_STEPS", 10**9)
    stepped = simulate(timer(), limits(), load)
    assert jumped.steps == stepped.steps
    assert jumped.duration_ms == pytest.approx(stepped.duration_ms, rel=1e-3)
    assert percentile(jumped.first_ms, 0.5) == pytest.approx(percentile(stepped.first_ms, 0.5), rel=0.02)


def test_the_same_load_gives_the_same_figures() -> None:
    first, second = (simulate(timer(), limits(), closed(16, 64)) for _ in range(2))
    assert first == second
    assert repr(prediction_of(first)) == repr(prediction_of(second))


def served_at(rate: float, prompt: int, output: int, **changes: object) -> Served:
    count = 200
    load = Load(prompts=(prompt,) * count, outputs=(output,) * count, arrivals_ms=arrivals_ms(rate, count))
    return simulate(timer(**changes), limits(), load)  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None)
@given(
    rate=st.floats(0.5, 30),
    more=st.floats(1.2, 3),
    prompt=st.integers(64, 1500),
    output=st.integers(8, 150),
    weights=st.sampled_from(("bf16", "awq")),
)
def test_more_load_never_lowers_latency(rate: float, more: float, prompt: int, output: int, weights: str) -> None:
    low, high = (prediction_of(served_at(r, prompt, output, weights_format=weights)) for r in (rate, rate * more))
    assert high.tpot_ms.p50 >= low.tpot_ms.p50 * (1 - NOISE)
    mean_low, mean_high = (
        sum(served_at(r, prompt, output, weights_format=weights).first_ms) for r in (rate, rate * more)
    )
    assert mean_high >= mean_low * (1 - NOISE)


@settings(max_examples=15, deadline=None)
@given(
    concurrency=st.integers(1, 64),
    prompt=st.integers(16, 1500),
    output=st.integers(2, 100),
    factor=st.floats(1.0, 3.0),
)
def test_a_faster_gpu_never_costs_throughput(concurrency: int, prompt: int, output: int, factor: float) -> None:
    roofs = FACTS.gpus["nvidia-h100-80gb"]
    faster = roofs.model_copy(
        update={
            "bandwidth_gb_per_s": factor * roofs.bandwidth_gb_per_s,
            "bf16_tflops": factor * roofs.bf16_tflops,
        }
    )
    load = closed(concurrency, 3 * concurrency, prompt, output)
    slow, fast = (simulate(timer(gpu=gpu), limits(), load).output_tokens_per_second for gpu in (roofs, faster))
    assert fast >= slow * (1 - NOISE)


@settings(max_examples=25, deadline=None)
@given(
    requests=st.lists(st.tuples(st.integers(1, 900), st.integers(1, 60)), min_size=1, max_size=40),
    sequences=st.integers(1, 16),
    batched=st.integers(16, 600),
    pool=st.integers(1000, 3000),
    concurrency=st.integers(1, 20),
)
def test_every_request_is_served_whatever_the_limits(
    requests: list[tuple[int, int]], sequences: int, batched: int, pool: int, concurrency: int
) -> None:
    load = Load(
        prompts=tuple(prompt for prompt, _ in requests),
        outputs=tuple(output for _, output in requests),
        concurrency=concurrency,
    )
    served = simulate(Fixed(), limits(sequences=sequences, batched_tokens=batched, pool_tokens=pool), load)
    assert all(0 < first < 10**7 for first in served.first_ms)
    assert all(between is None or between >= 9.99 for between in served.between_ms)
    assert served.busy_ms <= served.duration_ms * (1 + 1e-9)
