"""What a calibration is worth: measured cases of one model as a calibration, and the other models of that machine.

`python -m benchmarks.performance` prints it. Each configuration of the measurements is a calibration in turn: its
decode steps and closed loops. Its open loops and the other models' cases are predicted with it. To see what a
calibration repairs, roofs can be made wrong before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.performance_facts import GpuRoofs, PerformanceFacts
from gke_llm_inference.planning.memory.request import weights_format
from gke_llm_inference.planning.performance.bands import Quantity, error_band
from gke_llm_inference.planning.performance.calibration import Hardware, calibrate, narrowed
from gke_llm_inference.planning.performance.step_time import kernel_class
from gke_llm_inference.settings.calibration import Calibration, MeasuredDecode, MeasuredLoop, MeasuredTimes
from tools.performance_accuracy import case_of, compare
from tools.performance_repeats import machine_of

Row = Mapping[str, Any]
Errors = dict[Quantity, list[tuple[float, float]]]
QUANTITIES: tuple[Quantity, ...] = ("step_ms", "tpot_ms.p50", "output_tokens_per_second", "ttft_ms.p50")


@dataclass(frozen=True, kw_only=True)
class Calibrations:
    """Predictions with calibrations, as pairs of an error and its band in percent, by quantity.

    Attributes:
        own: of the configurations that were the calibrations.
        others: of other models with the same kernels on the same machines.
        own_before: the same cases as own, without a calibration.
        others_before: the same cases as others, without a calibration.

    """

    own: Errors
    others: Errors
    own_before: Errors
    others_before: Errors


def calibration_of(rows: Sequence[Row]) -> Calibration:
    """The decode steps and closed loops of one measured configuration, as a calibration file would state them."""
    first = rows[0]
    return Calibration(
        format=1,
        measured=str(first["id"]),
        gpu=first["gpu"],
        gpu_name=first["gpu"],
        server=first["server"],
        version=first["version"],
        model=f"measured/{first['model']}",
        weights_format=first["weights_format"],
        max_model_len=first["max_model_len"],
        max_num_seqs=first["max_num_seqs"],
        max_num_batched_tokens=first["max_num_batched_tokens"],
        kv_cache_tokens=first["kv_tokens"],
        api_server=False,
        host_launch_us=first.get("host_launch_us"),
        decodes=tuple(
            MeasuredDecode(sequences=row["sequences"], context=round(row["context_tokens"]), step_ms=row["step_ms"])
            for row in rows
            if row["kind"] == "decode"
        ),
        loops=tuple(_loop(row) for row in rows if row.get("concurrency") is not None),
    )


def wrong_roofs(facts: PerformanceFacts, gpu: str, factor: float) -> PerformanceFacts:
    """Facts in which all roofs of a GPU are so many times as high, and only estimated."""
    roofs = facts.gpus[gpu]
    update = {
        name: getattr(roofs, name) * factor
        for name in ("bandwidth_gb_per_s", "bf16_tflops", "fp8_tflops", "int8_tflops")
    }
    return facts.model_copy(
        update={"gpus": {**facts.gpus, gpu: roofs.model_copy(update={**update, "basis": "estimated"})}}
    )


def judged(cases: Iterable[Row], catalog: Catalog, facts: PerformanceFacts) -> Calibrations:
    """Every configuration whose decode steps were measured as a calibration, in turn."""
    machines: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    rows_given = list(cases)
    stepped = {row["id"] for row in rows_given if row["kind"] == "decode"}
    for row in rows_given:
        if row["id"] not in stepped:
            continue
        machine = (machine_of(row), row.get("host_launch_us") is None, row["max_num_batched_tokens"])
        machines.setdefault(machine, {}).setdefault(row["id"], []).append(row)
    result = Calibrations(own={}, others={}, own_before={}, others_before={})
    for configurations in machines.values():
        before = {name: _errors(rows, facts) for name, rows in configurations.items()}
        for name, rows in configurations.items():
            alike = [other for other, more in configurations.items() if _is_alike(more[0], rows[0], facts)]
            others = [row for other in alike for row in configurations[other]]
            unaided = before[name], [error for other in alike for error in before[other]]
            _judge(result, rows, others, unaided, catalog, facts)
    return result


def _judge(
    result: Calibrations,
    rows: Sequence[Row],
    others: Sequence[Row],
    unaided: tuple[Sequence[tuple[Quantity, float]], ...],
    catalog: Catalog,
    facts: PerformanceFacts,
) -> None:
    calibration, request = calibration_of(rows), case_of(rows[0]).request
    gpu = facts.gpus[calibration.gpu]
    found = calibrate(calibration, request, gpu, catalog.memory, facts)
    for before, after, predicted, hardware, errors in (
        (result.own_before, result.own, rows, found.own, unaided[0]),
        (result.others_before, result.others, others, found.others, unaided[1]),
    ):
        aided = _errors(_on(hardware, predicted), _facts_on(hardware, calibration.gpu))
        for (name, error), (_, calibrated) in zip(errors, aided, strict=True):
            band = error_band(name, request, gpu, facts)
            narrow = narrowed(band, name, found, gpu, facts, own=predicted is rows)
            before.setdefault(name, []).append((error, band.percent))
            after.setdefault(name, []).append((calibrated, narrow.percent))


def _errors(rows: Iterable[Row], facts: PerformanceFacts) -> list[tuple[Quantity, float]]:
    """The errors of some cases, in their order."""
    return [(name, one.errors[name]) for one in compare(rows, facts) for name in QUANTITIES if name in one.errors]


def _on(hardware: Hardware, rows: Iterable[Row]) -> list[Row]:
    """Cases on hardware whose host launches kernels in another time."""
    return [{**row, "host_launch_us": hardware.speed.launch_us} for row in rows]


def _facts_on(hardware: Hardware, gpu: str) -> PerformanceFacts:
    facts = hardware.speed.facts
    return facts.model_copy(update={"gpus": {**facts.gpus, gpu: hardware.speed.gpu}})


def _is_alike(row: Row, other: Row, facts: PerformanceFacts) -> bool:
    """Whether a row is of another model with the same kernels."""
    gpu: GpuRoofs = facts.gpus[row["gpu"]]
    kernels = [kernel_class(weights_format(one["weights_format"]).kernels, gpu) for one in (row, other)]
    return row["model"] != other["model"] and kernels[0] == kernels[1]


def _loop(row: Row) -> MeasuredLoop:
    times = {name: MeasuredTimes(p50=row[name]["p50"], p90=row[name]["p90"]) for name in ("ttft_ms", "tpot_ms")}
    return MeasuredLoop(
        concurrency=row["concurrency"],
        requests=row["requests"],
        input_tokens=row["input_tokens"],
        output_tokens=float(row["output_tokens_mean"]),
        output_spread=0.5,
        output_tokens_per_second=row["output_tokens_per_second"],
        **times,
    )
