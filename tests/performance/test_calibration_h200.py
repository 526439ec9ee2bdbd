"""The calibration that the example's script wrote on an H200, and what predictions of that server come to with it."""

from pathlib import Path

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.performance.bands import error_band
from gke_llm_inference.planning.performance.calibration_use import SpeedBasis, speed_basis, usual_basis
from gke_llm_inference.planning.performance.load import Load, uniform_lengths
from gke_llm_inference.planning.performance.prediction import predict, server_limits
from gke_llm_inference.planning.performance.timer import step_timer
from gke_llm_inference.settings.calibration_file import read_calibration
from tests.performance.support import FACTS, request
from tools.calibration_accuracy import QUANTITIES

FILE = Path(__file__).parents[2] / "examples" / "calibration" / "nvidia-h200-141gb.json"
CATALOG = load_catalog()
MEASURED = read_calibration(FILE, "calibration")
LIMITS = {"max_model_len": 6144, "max_num_seqs": 256, "max_num_batched_tokens": 2048}
SERVER = request(MEASURED.model, accelerator="nvidia-h200-141gb", gpu_memory_mib=143_000.0, **LIMITS)


def errors(basis: SpeedBasis) -> dict[str, list[float]]:
    """Errors of all figures of the file, in percent."""
    speed = basis.speed
    timer = step_timer(SERVER, speed.gpu, CATALOG.memory, speed.facts, launch_us=speed.launch_us)
    limits = server_limits(SERVER, MEASURED.kv_cache_tokens, CATALOG.memory, speed.facts)
    found: dict[str, list[float]] = {}
    for step in MEASURED.decodes:
        gpu_ms = timer.gpu_ms(step.sequences, step.sequences * step.context, 0, 0, 0)
        time = max(gpu_ms, timer.host_ms(step.sequences, 0))
        found.setdefault("step_ms", []).append(100 * (time / step.step_ms - 1))
    for loop in MEASURED.loops:
        outputs = uniform_lengths(loop.output_tokens, loop.requests, spread=loop.output_spread)
        load = Load(prompts=(loop.input_tokens,) * loop.requests, outputs=outputs, concurrency=loop.concurrency)
        served = predict(timer, limits, load)
        assert loop.tpot_ms is not None
        for name, value, truth in (
            ("ttft_ms.p50", served.ttft_ms.p50, loop.ttft_ms.p50),
            ("tpot_ms.p50", served.tpot_ms.p50, loop.tpot_ms.p50),
            ("output_tokens_per_second", served.output_tokens_per_second, loop.output_tokens_per_second),
        ):
            found.setdefault(name, []).append(100 * (value / truth - 1))
    return found


def test_it_was_measured_through_the_server_with_its_own_benchmark() -> None:
    assert (MEASURED.gpu_name, MEASURED.server, MEASURED.version) == ("NVIDIA H200", "vllm", "0.26.0")
    assert MEASURED.api_server
    assert (len(MEASURED.decodes), len(MEASURED.loops)) == (8, 3)


def test_it_narrows_every_band_and_every_figure_is_within() -> None:
    basis, problems = speed_basis("calibration", MEASURED, MEASURED.model, SERVER, CATALOG)
    assert (problems, basis.own) == ([], True)
    with_it, without = errors(basis), errors(usual_basis(SERVER, FACTS))
    for name in QUANTITIES:
        band = basis.band(name, SERVER, FACTS)
        usual = error_band(name, SERVER, FACTS.gpus["nvidia-h200-141gb"], FACTS)
        assert band.basis == "calibrated"
        assert band.percent < 0.9 * usual.percent, name
        assert max(map(abs, with_it[name])) <= band.percent, name
    for name in ("step_ms", "tpot_ms.p50", "output_tokens_per_second"):
        assert sum(map(abs, with_it[name])) < sum(map(abs, without[name])), name


def test_the_machine_is_the_one_that_was_measured_before() -> None:
    basis, _ = speed_basis("calibration", MEASURED, MEASURED.model, SERVER, CATALOG)
    assert basis.hardware is not None
    factors = basis.hardware.factors
    assert (factors.memory, factors.compute) == pytest.approx((1, 1), abs=0.03)


def test_another_model_on_it_has_no_less_sure_a_first_token() -> None:
    gemma = request("google/gemma-7b", accelerator="nvidia-h200-141gb", gpu_memory_mib=143_000.0, **LIMITS)
    basis, problems = speed_basis("calibration", MEASURED, "google/gemma-7b", gemma, CATALOG)
    assert (problems, basis.own) == ([], False)
    usual = error_band("ttft_ms.p50", gemma, FACTS.gpus["nvidia-h200-141gb"], FACTS)
    assert basis.band("ttft_ms.p50", gemma, FACTS).percent <= usual.percent
