"""Which calibrations say something of a server, and what those that do not are refused for."""

from dataclasses import replace
from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.memory.request import MemoryRequest
from gke_llm_inference.planning.performance.bands import error_band
from gke_llm_inference.planning.performance.calibration_use import SpeedBasis, names_gpu, speed_basis
from gke_llm_inference.settings import Finding
from gke_llm_inference.settings.calibration import Calibration
from tests.performance.support import EXPERTS, FACTS, L4, architecture, request
from tests.performance.test_calibration import measured_on, slower

CATALOG = load_catalog()
PATH = "servers.llama.calibration"
LLAMA, GEMMA = "meta-llama/Llama-3.1-8B-Instruct", "google/gemma-7b"
SERVER = request(accelerator="nvidia-l4")
MEASURED = measured_on(slower(L4, 1.1, 0.95))
ANEW = "measure this server with examples/calibration, or leave calibration out"


def basis(
    calibration: Calibration | None = MEASURED, server: MemoryRequest = SERVER, model: str = LLAMA
) -> tuple[SpeedBasis, list[Finding]]:
    return speed_basis(PATH, calibration, model, server, CATALOG)


def refused(calibration: Calibration, server: MemoryRequest = SERVER, model: str = LLAMA) -> list[tuple[str, str, str]]:
    found, problems = basis(calibration, server, model)
    assert found.calibrated is None
    assert found.speed.gpu == FACTS.gpus[server.accelerator or ""]
    assert {(problem.path, problem.severity) for problem in problems} == {(PATH, "problem")}
    return [(problem.what, problem.why, problem.fix) for problem in problems]


def measured(**changes: Any) -> Calibration:
    return MEASURED.model_copy(update=changes)


def test_without_a_calibration_the_catalog_decides() -> None:
    found, problems = basis(None)
    assert (found.calibrated, problems) == (None, [])
    assert found.band("step_ms", SERVER, FACTS) == error_band("step_ms", SERVER, L4, FACTS)


def test_the_measured_server_has_its_own_factors_and_the_narrowest_bands() -> None:
    found, problems = basis()
    assert problems == []
    assert found.own
    assert found.calibrated
    assert found.speed == found.calibrated.own.speed
    for name in ("step_ms", "tpot_ms.p50", "output_tokens_per_second", "ttft_ms.p50"):
        band, usual = found.band(name, SERVER, FACTS), error_band(name, SERVER, L4, FACTS)
        assert band.basis == "calibrated"
        assert band.percent < usual.percent


def test_another_model_has_the_hardwares_share() -> None:
    server = request(GEMMA, accelerator="nvidia-l4")
    found, problems = basis(server=server, model=GEMMA)
    assert problems == []
    assert not found.own
    assert found.calibrated
    assert found.speed == found.calibrated.others.speed
    assert found.band("ttft_ms.p50", server, FACTS).percent <= error_band("ttft_ms.p50", server, L4, FACTS).percent


def test_another_format_of_the_same_kernels_is_another_model() -> None:
    # AWQ and GPTQ both run on Marlin.
    found, problems = basis(measured_on(L4, weights="awq"), replace(SERVER, weights_format="gptq"))
    assert (problems, found.own) == ([], False)
    assert found.calibrated


def test_a_patch_of_the_version_is_the_same() -> None:
    found, problems = basis(server=replace(SERVER, version="0.26.1"))
    assert (problems, found.own) == ([], True)


@pytest.mark.parametrize(
    ("calibration", "server", "told"),
    [
        (
            {},
            {"accelerator": "nvidia-h100-80gb"},
            ("was measured on nvidia-l4, and this server runs on nvidia-h100-80gb", "GPUs differ in everything"),
        ),
        (
            {"gpu_name": "NVIDIA A100-SXM4-40GB"},
            {},
            (
                "says that it was measured on nvidia-l4, and CUDA said NVIDIA A100-SXM4-40GB",
                "it is of another GPU",
            ),
        ),
        (
            {},
            {"version": "0.19.1"},
            (
                "was measured with vllm 0.26.0, and this server is 0.19.1",
                "kernels and scheduling change with every version",
            ),
        ),
        (
            {},
            {"server": "tgi", "version": "3.3.7"},
            ("was measured with vllm, and this server is tgi", "servers differ in kernels and scheduling"),
        ),
        (
            {"weights_format": "awq"},
            {},
            ("was measured with awq weights, and this server has bf16 weights", "they have other kernels"),
        ),
        (
            {"kv_cache_dtype": "fp8_e4m3"},
            {},
            (
                "was measured with a KV cache of type fp8_e4m3, and this server has one of type auto",
                "attention has other kernels",
            ),
        ),
        (
            {},
            {"tensor_parallel": 4},
            ("was measured with 1 GPU, and this server has 4 GPUs", "GPUs that share a layer wait for each other"),
        ),
        (
            {"enforce_eager": True},
            {},
            (
                "was measured with no CUDA graphs, and this server has CUDA graphs",
                "without CUDA graphs the host launches every kernel",
            ),
        ),
    ],
)
def test_what_was_measured_elsewhere_is_refused(
    calibration: dict[str, Any], server: dict[str, Any], told: tuple[str, str]
) -> None:
    assert refused(measured(**calibration), replace(SERVER, **server)) == [(*told, ANEW)]


def test_all_differences_are_told_together() -> None:
    found = refused(measured(weights_format="awq"), replace(SERVER, version="0.10.0", tensor_parallel=2))
    assert [what for what, _, _ in found] == [
        "was measured with vllm 0.26.0, and this server is 0.10.0",
        "was measured with awq weights, and this server has bf16 weights",
        "was measured with 1 GPU, and this server has 2 GPUs",
    ]


def test_a_weights_format_that_nobody_knows_has_the_nearest_name() -> None:
    assert refused(measured(weights_format="bf61")) == [
        ("is of the weights format bf61, which is not known", "its kernels decide the speed", "did you mean bf16?")
    ]


def test_a_model_that_nobody_knows_the_numbers_of_is_refused() -> None:
    assert refused(measured(model="me/mine")) == [
        (
            "is of me/mine, which is neither this server's model nor in the catalog",
            "without the model's numbers its figures say nothing of the hardware",
            "measure this server with examples/calibration, or a model of the catalog on the same GPU",
        )
    ]
    found, problems = basis(measured(model="me/mine"), model="me/mine")
    assert (problems, found.own) == ([], True)


def test_experts_have_kernels_of_their_own() -> None:
    server = replace(SERVER, architecture=architecture(experts=EXPERTS))
    ((what, why, fix),) = refused(MEASURED, server, "me/experts")
    assert what == f"is of {LLAMA}, and only one of the two models has experts"
    assert (why, fix) == ("experts have kernels of their own", ANEW)


@pytest.mark.parametrize(("factor", "told"), [(3.0, "times as slowly"), (0.3, "times as fast")])
def test_figures_that_no_such_gpu_has_are_refused(factor: float, told: str) -> None:
    strange = measured_on(slower(L4, factor, factor))
    found = refused(strange)
    assert any(what.startswith("the GPU of the calibration reads its memory ") and told in what for what, _, _ in found)
    assert {why for _, why, _ in found} == {
        "it is another GPU than it claims, something else ran on it, or the file was changed"
    }


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA L4", "nvidia-l4"),
        ("Tesla T4", "nvidia-tesla-t4"),
        ("NVIDIA A100-SXM4-40GB", "nvidia-tesla-a100"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-80gb"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb"),
        ("NVIDIA H200", "nvidia-h200-141gb"),
    ],
)
def test_names_of_the_same_gpu(name: str, gpu: str) -> None:
    assert names_gpu(name, gpu)


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA L40S", "nvidia-l4"),
        ("NVIDIA A100-SXM4-40GB", "nvidia-a100-80gb"),
        ("NVIDIA H200", "nvidia-h100-80gb"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h200-141gb"),
        ("cpu", "nvidia-l4"),
    ],
)
def test_names_of_other_gpus(name: str, gpu: str) -> None:
    assert not names_gpu(name, gpu)
