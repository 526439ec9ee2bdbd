"""What a calibration says of the hardware: factors, and bands that follow from its own residuals."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.performance_facts import GpuRoofs
from gke_llm_inference.planning.performance.bands import Band
from gke_llm_inference.planning.performance.calibration import Calibrated, calibrate, narrowed
from gke_llm_inference.planning.performance.load import Load, uniform_lengths
from gke_llm_inference.planning.performance.prediction import predict, server_limits
from gke_llm_inference.planning.performance.timer import step_timer
from gke_llm_inference.settings.calibration import Calibration, MeasuredDecode, MeasuredLoop, MeasuredTimes
from tests.performance.support import FACTS, H100, L4, request

MEMORY = load_catalog().memory
POOL = 60_000
STEPS = ((1, 160), (8, 160), (32, 160), (1, 2080), (16, 1056))
ESTIMATED = L4.model_copy(update={"basis": "estimated"})
LOOPS = ((1, 6, 1024, 32), (8, 32, 512, 128), (32, 64, 1024, 128))


def slower(gpu: GpuRoofs, memory: float, compute: float) -> GpuRoofs:
    """Roofs of a GPU that takes so many times as long."""
    return gpu.model_copy(
        update={
            "bandwidth_gb_per_s": gpu.bandwidth_gb_per_s / memory,
            **{name: getattr(gpu, name) / compute for name in ("bf16_tflops", "fp8_tflops", "int8_tflops")},
        }
    )


def measured_on(
    gpu: GpuRoofs, *, launch_us: float = FACTS.host.launch_us, noise: float = 0.0, weights: str = "bf16"
) -> Calibration:
    """A calibration as a machine would give it that is as predicted, up to a noise that changes its sign."""
    asked = request(max_model_len=6144, max_num_seqs=256, max_num_batched_tokens=2048, weights_format=weights)
    timer = step_timer(asked, gpu, MEMORY, FACTS, launch_us=launch_us)
    limits = server_limits(asked, POOL, MEMORY, FACTS)
    signs = (1 + noise, 1 / (1 + noise))

    def step_ms(sequences: int, context: int) -> float:
        return max(timer.gpu_ms(sequences, sequences * context, 0, 0, 0), timer.host_ms(sequences, 0))

    loops = []
    for place, (concurrency, requests, prompt, output) in enumerate(LOOPS):
        outputs = uniform_lengths(output, requests, spread=0.5)
        found = predict(timer, limits, Load(prompts=(prompt,) * requests, outputs=outputs, concurrency=concurrency))
        times = {
            name: MeasuredTimes(p50=value.p50 * signs[place % 2], p90=value.p90 * 2)
            for name, value in (("ttft_ms", found.ttft_ms), ("tpot_ms", found.tpot_ms))
        }
        loops.append(
            MeasuredLoop(
                concurrency=concurrency,
                requests=requests,
                input_tokens=prompt,
                output_tokens=float(output),
                output_spread=0.5,
                output_tokens_per_second=found.output_tokens_per_second * signs[place % 2],
                **times,
            )
        )
    return Calibration(
        format=1,
        measured="2026-11-30",
        gpu="nvidia-l4",
        gpu_name="NVIDIA L4",
        server="vllm",
        version="0.26.0",
        model="meta-llama/Llama-3.1-8B-Instruct",
        weights_format=weights,
        max_model_len=6144,
        max_num_seqs=256,
        max_num_batched_tokens=2048,
        kv_cache_tokens=POOL,
        host_launch_us=FACTS.host.launch_us,
        decodes=tuple(
            MeasuredDecode(sequences=count, context=context, step_ms=step_ms(count, context) * signs[place % 2])
            for place, (count, context) in enumerate(STEPS)
        ),
        loops=tuple(loops),
    )


def calibrated(calibration: Calibration, gpu: GpuRoofs = L4) -> Calibrated:
    asked = request(max_model_len=6144, max_num_seqs=256, max_num_batched_tokens=2048)
    return calibrate(calibration, asked, gpu, MEMORY, FACTS)


def test_a_machine_that_is_as_predicted_changes_nothing() -> None:
    found = calibrated(measured_on(L4))
    for factors in (found.own.factors, found.others.factors):
        assert (factors.memory, factors.compute, factors.host, factors.api) == pytest.approx((1, 1, 1, 1), abs=1e-6)
    # The usual band counts as three cases, and all five steps miss nothing.
    assert found.percent["step_ms"] == pytest.approx(FACTS.bands["measured"]["step_ms"] * math.sqrt(3 / 8), rel=1e-3)


def test_no_band_is_narrower_than_measurements_repeat() -> None:
    calibration = measured_on(L4)
    many = calibration.model_copy(update={"decodes": calibration.decodes * 10})
    assert calibrated(many).percent["step_ms"] == FACTS.calibration.floor["step_ms"]


@given(memory=st.floats(0.75, 1.35), compute=st.floats(0.75, 1.35))
@settings(max_examples=15, deadline=None)
def test_the_factors_of_a_gpu_are_found(memory: float, compute: float) -> None:
    found = calibrated(measured_on(slower(L4, memory, compute)), ESTIMATED)
    assert found.own.factors.memory == pytest.approx(memory, rel=0.04)
    assert found.own.factors.compute == pytest.approx(compute, rel=0.12)
    assert found.own.speed.gpu.bandwidth_gb_per_s == pytest.approx(L4.bandwidth_gb_per_s / found.own.factors.memory)
    # Hardware of which little is known has nearly all of what was found.
    assert math.log(found.others.factors.memory) == pytest.approx(math.log(found.own.factors.memory), rel=0.05)


def test_a_slower_host_is_found_and_is_mostly_the_models() -> None:
    found = calibrated(measured_on(H100, launch_us=1.5 * FACTS.host.launch_us), H100)
    assert 1.2 < found.own.factors.host < 1.6
    assert 1.0 < found.others.factors.host < 1.1
    assert found.own.factors.memory == pytest.approx(1, abs=0.02)


def test_a_measured_gpu_is_not_moved_by_one_models_calibration() -> None:
    found = calibrated(measured_on(slower(H100, 1.04, 1.0)), H100)
    assert 1.01 < found.own.factors.memory < 1.04
    assert 1.0 < found.others.factors.memory < 1.012


def test_the_launch_time_is_the_measured_one_times_the_factor() -> None:
    quiet = measured_on(L4)
    slow = quiet.model_copy(update={"host_launch_us": 2 * FACTS.host.launch_us})
    found = calibrated(slow)
    assert found.own.speed.launch_us == pytest.approx(2 * FACTS.host.launch_us * found.own.factors.host)
    unknown = calibrated(quiet.model_copy(update={"host_launch_us": None}))
    assert unknown.own.speed.launch_us == pytest.approx(FACTS.host.launch_us * unknown.own.factors.host)


def test_bands_follow_from_the_residuals() -> None:
    bands = [calibrated(measured_on(L4, noise=noise)).percent for noise in (0.0, 0.1, 0.3)]
    for name in ("step_ms", "tpot_ms.p50", "output_tokens_per_second", "ttft_ms.p50"):
        widths = [percent[name] for percent in bands]
        assert widths == sorted(widths)
        assert widths[0] >= FACTS.calibration.floor[name]
    assert bands[2]["step_ms"] > FACTS.bands["transferred"]["step_ms"]


def test_the_same_file_gives_the_same_to_the_last_bit() -> None:
    assert calibrated(measured_on(slower(L4, 1.2, 0.9))) == calibrated(measured_on(slower(L4, 1.2, 0.9)))


def test_what_was_not_measured_has_its_usual_band() -> None:
    calibration = measured_on(L4)
    silent = tuple(loop.model_copy(update={"tpot_ms": None}) for loop in calibration.loops)
    found = calibrated(calibration.model_copy(update={"loops": silent}))
    usual = Band(percent=8.0, basis="transferred")
    assert "tpot_ms.p50" not in found.percent
    assert narrowed(usual, "tpot_ms.p50", found, L4, FACTS, own=True) is usual


def test_another_models_band_is_wider_and_never_wider_than_without() -> None:
    found = calibrated(measured_on(L4))
    wide, narrow = Band(percent=50.0, basis="estimated"), Band(percent=6.0, basis="measured")
    own = narrowed(wide, "step_ms", found, L4, FACTS, own=True)
    other = narrowed(wide, "step_ms", found, L4, FACTS, own=False)
    assert own == Band(percent=found.percent["step_ms"], basis="calibrated")
    assert other == Band(percent=1.3 * FACTS.bands["measured"]["step_ms"], basis="transferred")
    unknown = narrowed(wide, "step_ms", found, ESTIMATED, FACTS, own=False)
    assert unknown == Band(percent=1.3 * FACTS.bands["transferred"]["step_ms"], basis="transferred")
    assert narrowed(narrow, "step_ms", found, L4, FACTS, own=False) is narrow


def test_a_poor_fit_is_told_even_where_the_band_was_narrower() -> None:
    found = replace(calibrated(measured_on(L4)), percent={"step_ms": 17.0})
    usual = Band(percent=6.0, basis="measured")
    assert narrowed(usual, "step_ms", found, L4, FACTS, own=True) == Band(percent=17.0, basis="calibrated")
