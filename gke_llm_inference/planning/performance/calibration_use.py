"""Whether a calibration says anything of a server, and what predictions of that server rest on with it."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.performance_facts import PerformanceFacts
from gke_llm_inference.planning.memory.request import WEIGHTS_FORMATS, MemoryRequest, format_name, kv_bytes
from gke_llm_inference.planning.performance.bands import Band, Quantity, error_band
from gke_llm_inference.planning.performance.calibration import (
    Calibrated,
    Hardware,
    HardwareSpeed,
    calibrate,
    narrowed,
)
from gke_llm_inference.planning.performance.step_time import kernel_class
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, suggestion
from gke_llm_inference.settings.calibration import Calibration

_MEASURE = "measure this server with examples/calibration"
_SIZE = re.compile(r"[0-9]+gb")


@dataclass(frozen=True, kw_only=True)
class SpeedBasis:
    """What predictions of a server rest on.

    Attributes:
        speed: constants of its hardware.
        calibration: what was measured; None where nothing was, or where it says nothing of the server.
        calibrated: what follows from it.
        own: whether the calibration is of this very server: model, weights format and KV cache.

    """

    speed: HardwareSpeed
    calibration: Calibration | None = None
    calibrated: Calibrated | None = None
    own: bool = False

    @property
    def hardware(self) -> Hardware | None:
        """What of it holds for the server; None without a calibration."""
        if self.calibrated is None:
            return None
        return self.calibrated.own if self.own else self.calibrated.others

    def band(self, quantity: Quantity, request: MemoryRequest, facts: PerformanceFacts) -> Band:
        """The error band of a prediction; `facts` are the catalog's."""
        gpu = facts.gpus[request.accelerator or ""]
        usual = error_band(quantity, request, gpu, facts)
        if self.calibrated is None:
            return usual
        return narrowed(usual, quantity, self.calibrated, gpu, facts, own=self.own)


def usual_basis(request: MemoryRequest, facts: PerformanceFacts) -> SpeedBasis:
    """What predictions of a server rest on without a calibration.

    Raises:
        KeyError: the roofs of the GPU are not known.

    """
    return SpeedBasis(speed=HardwareSpeed(gpu=facts.gpus[request.accelerator or ""], facts=facts))


def speed_basis(
    path: str,
    calibration: Calibration | None,
    model: str,
    request: MemoryRequest,
    catalog: Catalog,
    fits: dict[object, Calibrated] | None = None,
) -> tuple[SpeedBasis, list[Finding]]:
    """What predictions of a server rest on, and what is wrong with its calibration: then it is not used.

    Args:
        path: where the configuration names the calibration.
        calibration: what was measured, if anything.
        model: Hugging Face id of the server's model.
        request: the server; the catalog knows the roofs of its GPU.
        catalog: the facts to decide by.
        fits: what was fitted already, with the same catalog.

    """
    facts = catalog.performance
    fits = {} if fits is None else fits
    usual = usual_basis(request, facts)
    if calibration is None:
        return usual, []
    problems = list(_problems(path, calibration, request, catalog))
    measured = None if problems else _measured_request(calibration, model, request, catalog)
    if measured is None:
        return usual, problems or [_unknown_model(path, calibration)]
    if bool(measured.architecture.experts) != bool(request.architecture.experts):
        return usual, [
            Finding(
                path=path,
                what=f"is of {calibration.model}, and only one of the two models has experts",
                why="experts have kernels of their own",
                fix=f"{_MEASURE}, or leave calibration out",
            )
        ]
    fit = (calibration, measured)
    if fit not in fits:
        fits[fit] = calibrate(calibration, measured, usual.speed.gpu, catalog.memory, facts)
    found = fits[fit]
    strange = list(_strange(path, calibration.gpu, found, facts.calibration.most))
    if strange:
        return usual, strange
    own = (measured.architecture, measured.weights_format, measured.kv_cache_dtype) == (
        request.architecture,
        format_name(request.weights_format),
        request.kv_cache_dtype,
    )
    speed = (found.own if own else found.others).speed
    return SpeedBasis(speed=speed, calibration=calibration, calibrated=found, own=own), []


def _problems(path: str, calibration: Calibration, request: MemoryRequest, catalog: Catalog) -> Iterator[Finding]:
    """Why a calibration says nothing of a server."""

    def differ(what: str, why: str) -> Finding:
        return Finding(path=path, what=what, why=why, fix=f"{_MEASURE}, or leave calibration out")

    if calibration.weights_format not in WEIGHTS_FORMATS:
        yield Finding(
            path=path,
            what=f"is of the weights format {calibration.weights_format}, which is not known",
            why="its kernels decide the speed",
            fix=suggestion(calibration.weights_format, WEIGHTS_FORMATS),
        )
        return
    gpu = request.accelerator or ""
    if calibration.gpu != gpu:
        yield differ(f"was measured on {calibration.gpu}, and this server runs on {gpu}", "GPUs differ in everything")
    elif not names_gpu(calibration.gpu_name, gpu):
        yield differ(
            f"says that it was measured on {gpu}, and CUDA said {calibration.gpu_name}", "it is of another GPU"
        )
    if calibration.server != request.server:
        yield differ(
            f"was measured with {calibration.server}, and this server is {request.server}",
            "servers differ in kernels and scheduling",
        )
    elif version_parts(calibration.version)[:2] != version_parts(request.version)[:2]:
        yield differ(
            f"was measured with {calibration.server} {calibration.version}, and this server is {request.version}",
            "kernels and scheduling change with every version",
        )
    for what, measured, own in _likenesses(calibration, request, _class_of(gpu, catalog)):
        if measured != own:
            yield differ(f"was measured with {measured}, and this server has {own}", what)


def _likenesses(
    calibration: Calibration, request: MemoryRequest, kernels: Callable[[str], str]
) -> Iterator[tuple[str, str, str]]:
    """Why it matters, what was measured, and what the server has."""
    own = format_name(request.weights_format)
    if own in WEIGHTS_FORMATS and kernels(calibration.weights_format) != kernels(own):
        yield "they have other kernels", f"{calibration.weights_format} weights", f"{own} weights"
    caches = calibration.kv_cache_dtype, request.kv_cache_dtype
    if kv_bytes(caches[0]) != kv_bytes(caches[1]):
        yield "attention has other kernels", f"a KV cache of type {caches[0]}", f"one of type {caches[1]}"
    why = "GPUs that share a layer wait for each other"
    yield why, _gpus(calibration.tensor_parallel), _gpus(request.tensor_parallel)
    why = "without CUDA graphs the host launches every kernel"
    yield why, _graphs(calibration.enforce_eager), _graphs(request.enforce_eager)


def _graphs(eager: bool) -> str:
    return "no CUDA graphs" if eager else "CUDA graphs"


def _gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"


def _class_of(gpu: str, catalog: Catalog) -> Callable[[str], str]:
    roofs = catalog.performance.gpus[gpu]
    return lambda name: kernel_class(WEIGHTS_FORMATS[name].kernels, roofs)


def names_gpu(name: str, gpu: str) -> bool:
    """Whether CUDA's name of a GPU may be that of GKE's: `NVIDIA A100-SXM4-80GB` is nvidia-a100-80gb."""
    said, meant = (set(re.split(r"[-_ ]+", text.lower())) for text in (name, gpu))
    sizes = [{word for word in words if _SIZE.fullmatch(word)} for words in (said, meant)]
    if all(sizes) and sizes[0] != sizes[1]:
        return False
    models = {word for word in meant if any(letter.isdigit() for letter in word)} - sizes[1]
    return not models or bool(models & said)


def _measured_request(
    calibration: Calibration, model: str, request: MemoryRequest, catalog: Catalog
) -> MemoryRequest | None:
    """The server that was measured; None where nobody knows the numbers of its model."""
    limited = replace(
        request,
        weights_format=calibration.weights_format,
        kv_cache_dtype=calibration.kv_cache_dtype,
        max_model_len=calibration.max_model_len,
        max_num_seqs=calibration.max_num_seqs,
        max_num_batched_tokens=calibration.max_num_batched_tokens,
        tensor_parallel=calibration.tensor_parallel,
        version=calibration.version,
        unplanned=(),
    )
    if calibration.model == model:
        return limited
    checkpoint = catalog.checkpoints.get(calibration.model)
    known = catalog.models.get(checkpoint.base if checkpoint else calibration.model)
    return None if known is None else replace(limited, architecture=known, family=known.family)


def _unknown_model(path: str, calibration: Calibration) -> Finding:
    return Finding(
        path=path,
        what=f"is of {calibration.model}, which is neither this server's model nor in the catalog",
        why="without the model's numbers its figures say nothing of the hardware",
        fix=f"{_MEASURE}, or a model of the catalog on the same GPU",
    )


def _strange(path: str, gpu: str, found: Calibrated, most: float) -> Iterator[Finding]:
    """Factors that no GPU of that name has."""
    factors = found.own.factors
    for factor, what in (
        (factors.memory, "reads its memory"),
        (factors.compute, "computes"),
        (factors.host, "is waited for by its host"),
    ):
        if abs(math.log(factor)) > math.log(most):
            slower = f"{factor:.1f} times as slowly" if factor > 1 else f"{1 / factor:.1f} times as fast"
            yield Finding(
                path=path,
                what=f"the GPU of the calibration {what} {slower} as {gpu} does",
                why="it is another GPU than it claims, something else ran on it, or the file was changed",
                fix="measure again with examples/calibration on a GPU that does nothing else",
            )
