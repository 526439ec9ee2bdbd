"""How good memory plans are: predictions for measured cases from their settings alone, beside what was measured.

`python -m tools.memory_accuracy --cases FILE [--json]` reads one JSON object a line.
"""

import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.facts import ModelArchitecture
from gke_llm_inference.catalog.memory_facts import MemoryFacts, Runner
from gke_llm_inference.planning.compatibility import request_problems
from gke_llm_inference.planning.memory.plan import plan_memory
from gke_llm_inference.planning.memory.request import CompileCache, MemoryRequest, format_name
from gke_llm_inference.planning.memory.result import Cause, MemoryPlan, Verdict
from gke_llm_inference.planning.memory.sharding import text_parameters
from gke_llm_inference.settings import Finding, Refusal, suggestion
from gke_llm_inference.settings.model_config import architecture_of
from tools.accuracy import run

Truth = Literal["runs", "doubtful", "refused", ""]

MODEL_NAMES = {
    "gemma-7b": "google/gemma-7b",
    "gemma-2-9b": "google/gemma-2-9b-it",
    "gemma-2-27b": "google/gemma-2-27b-it",
    "gemma-3-1b": "google/gemma-3-1b-it",
    "gemma-3-4b-text": "google/gemma-3-4b-it",
    "gemma-3-12b-text": "google/gemma-3-12b-it",
    "gemma-3-27b-text": "google/gemma-3-27b-it",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf",
    "llama-3.1-8b": "meta-llama/Llama-3.1-8B-Instruct",
    "llama-3.1-70b": "meta-llama/Llama-3.1-70B-Instruct",
    "mistral-7b-v0.3": "mistralai/Mistral-7B-Instruct-v0.3",
    "mixtral-8x7b": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "qwen2.5-7b": "Qwen/Qwen2.5-7B-Instruct",
    "falcon-40b": "tiiuae/falcon-40b-instruct",
}
"""The measurements' short names of catalog models; those that end in -text lack the vision tower."""

SPARE_SHARE = 1.1
"""A case that has this multiple of what it needs runs with room to spare."""

_GRAPHS_SWITCH = "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"
_LARGEST = 10**12
_SMALLEST = 1e-3


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a plan says of one case; MiB.

    Attributes:
        kv_tokens: tokens as vLLM prints them; 0 where not even the weights are loaded.
        needed_mib: KV cache of one request of the asked context.
        used_peak_mib: most memory that is used until the server is ready, as on an L4.

    """

    weights_mib: float
    peak_activation_mib: float
    available_kv_mib: float
    kv_tokens: int
    needed_mib: float
    used_peak_mib: float
    starts: bool
    verdict: Verdict
    cause: Cause
    reason: str


def case_request(case: Mapping[str, Any]) -> MemoryRequest:
    """The request that a case asks, from its settings alone.

    Raises:
        Refusal: a setting is missing, of the wrong kind or impossible.

    """
    problems: list[Finding] = []
    architecture, family, rope, mla = _model(case)
    compile_cache = _compile_cache(case, problems)
    runner = _choice(case, "model_runner", ("V1", "V2"), problems)
    eager = case.get("enforce_eager")
    if eager is not None and not isinstance(eager, bool):
        problems.append(_wrong("enforce_eager", "true or false"))
    total = _number(case, "emulated_total_mib", problems)
    if total is None and not problems:
        problems.append(_wrong("emulated_total_mib", "the GPU's memory in MiB"))
    share = _number(case, "gpu_memory_utilization", problems)
    texts = {key: case.get(key) for key in ("weights_format", "kv_cache_dtype")}
    problems += [_wrong(key, "text") for key, value in texts.items() if not isinstance(value, str | None)]
    counts = {key: _count(case, key, problems) for key in ("max_model_len", "max_num_seqs", "max_num_batched_tokens")}
    if problems:
        raise Refusal(problems)
    typed_runner: Runner | None = "V1" if runner == "V1" else "V2" if runner == "V2" else None
    return MemoryRequest(
        architecture=architecture,
        family=family,
        gpu_memory_mib=total or 0.0,
        weights_format=format_name(texts["weights_format"] or "bf16"),
        kv_cache_dtype=(texts["kv_cache_dtype"] or "auto").split(" ")[0],
        max_model_len=counts["max_model_len"],
        gpu_memory_utilization=share,
        max_num_seqs=counts["max_num_seqs"],
        max_num_batched_tokens=counts["max_num_batched_tokens"],
        enforce_eager=bool(eager),
        model_runner=typed_runner,
        compile_cache=compile_cache,
        rope_factor=rope,
        mla_width=mla,
        path="case",
    )


def plan_request(request: MemoryRequest, facts: MemoryFacts) -> MemoryPlan:
    """The memory plan of a request that nobody has judged yet.

    Raises:
        Refusal: with every problem of the request.

    """
    problems = request_problems(request, facts)
    if problems:
        raise Refusal(problems)
    return plan_memory(request, facts)


def predict_case(case: Mapping[str, Any], facts: MemoryFacts | None = None) -> Prediction:
    """What the plan says of a case, from `model` or `architecture` and its settings; measured fields are not read.

    Raises:
        Refusal: the case cannot be planned; with every problem of it.

    """
    plan = plan_request(case_request(case), facts or load_catalog().memory)
    state = plan.state
    return Prediction(
        weights_mib=plan.weights_mib,
        peak_activation_mib=state.activation_mib,
        available_kv_mib=state.kv_cache_mib,
        kv_tokens=state.kv_cache_tokens,
        needed_mib=plan.needed_mib,
        used_peak_mib=state.peak_mib,
        starts=plan.starts,
        verdict=plan.verdict,
        cause=state.cause,
        reason=plan.reason,
    )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A prediction beside what was measured; errors in percent of what was measured, None where it was not.

    Attributes:
        line: number of the case.
        set_aside: why the case is left out of the errors; empty where it counts.
        wrong: what is wrong with the verdict; empty where it is right or doubtful.

    """

    line: int
    name: str
    prediction: Prediction
    measured: dict[str, float | bool]
    truth: Truth
    weights_error: float | None
    peak_error: float | None
    kv_error: float | None
    tokens_error: float | None
    set_aside: str
    wrong: str


Cases = Iterable[Mapping[str, Any]] | Mapping[int, Mapping[str, Any]]
"""Measured cases in order, or by the number of their line."""


def compare(cases: Cases, facts: MemoryFacts | None = None) -> list[Comparison]:
    """Every case's prediction beside what was measured.

    Raises:
        Refusal: with every case that cannot be planned, by its line.

    """
    facts = facts or load_catalog().memory
    compared, problems = [], []
    for line, case in cases.items() if isinstance(cases, Mapping) else enumerate(cases, 1):
        try:
            if not isinstance(case, Mapping):
                raise Refusal(
                    [
                        Finding(
                            path="case",
                            what="not a JSON object",
                            why="a case is one object",
                            fix="see the measurements",
                        )
                    ]
                )
            compared.append(_compare(line, case, predict_case(case, facts), facts))
        except Refusal as refusal:
            problems += [Finding(path=f"line {line}: {found.path}", what=found.what, why=found.why, fix=found.fix)
                         for found in refusal.problems]  # fmt: skip
    if problems:
        raise Refusal(problems)
    return compared


def read_cases(text: str) -> dict[int, dict[str, Any]]:
    """The cases of a file with one JSON object per line, by line; empty lines are skipped.

    Raises:
        Refusal: with every line that is not a JSON object.

    """
    cases: dict[int, dict[str, Any]] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
        except (ValueError, RecursionError):
            case = None
        if isinstance(case, dict):
            cases[number] = case
        else:
            problems.append(
                Finding(
                    path=f"line {number}",
                    what="not a JSON object",
                    why="every line is one measured case",
                    fix="correct the line",
                )
            )
    if problems:
        raise Refusal(problems)
    return cases


def report(cases: Cases, as_json: bool = False, facts: MemoryFacts | None = None) -> str:
    """Predictions beside measurements, then the errors' median and worst and the wrong verdicts.

    Args:
        cases: the cases, as `read_cases` returns them.
        as_json: whether to write JSON rather than a table.
        facts: the facts to plan with; those of the catalog if absent.

    Raises:
        Refusal: with every case that cannot be planned, by its line.

    """
    compared = compare(cases, facts)
    summary = summarize(compared)
    if as_json:
        document = {"cases": [asdict(entry) for entry in compared], "summary": summary}
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    return _table(compared) + "\n" + _summary_text(summary)


def summarize(compared: Iterable[Comparison]) -> dict[str, Any]:
    """Median and worst errors in percent, and the wrong verdicts, of what is not set aside."""
    entries = list(compared)
    counted = [entry for entry in entries if not entry.set_aside]
    errors = {
        name: _spread([value for value in values if value is not None])
        for name, values in {
            "weights": [entry.weights_error for entry in counted],
            "peakActivation": [entry.peak_error for entry in counted],
            "kvCache": [entry.kv_error for entry in counted],
            "kvTokens": [entry.tokens_error for entry in counted],
        }.items()
    }
    return {
        "cases": len(entries),
        "setAside": [{"line": entry.line, "why": entry.set_aside} for entry in entries if entry.set_aside],
        "errorsPercent": errors,
        "wrongVerdicts": [
            {"line": entry.line, "name": entry.name, "wrong": entry.wrong} for entry in counted if entry.wrong
        ],
    }


def truth_of(case: Mapping[str, Any], peak_uncertainty_mib: float) -> Truth:
    """Whether a measured case runs on the GPU it states: used memory near the whole is doubtful."""
    started = case.get("started")
    if not isinstance(started, bool):
        return ""
    if not started:
        return "refused"
    total, used = case.get("emulated_total_mib"), case.get("l4_used_peak_est_mib")
    if isinstance(total, int | float) and isinstance(used, int | float) and used > total - peak_uncertainty_mib:
        return "doubtful"
    return "runs"


def _compare(line: int, case: Mapping[str, Any], prediction: Prediction, facts: MemoryFacts) -> Comparison:
    measured = {
        name: case[key]
        for name, key in {
            "weights_mib": "weights_mib",
            "peak_activation_mib": "peak_activation_mib",
            "available_kv_mib": "available_kv_mib",
            "kv_tokens": "kv_tokens_logged",
        }.items()
        if _is_figure(case.get(key))
    }
    if isinstance(case.get("started"), bool):
        measured["started"] = case["started"]
    truth = truth_of(case, facts.vllm.runtime.peak_uncertainty_mib)
    return Comparison(
        line=line,
        name=_name(case),
        prediction=prediction,
        measured=measured,
        truth=truth,
        weights_error=_error(prediction.weights_mib, measured.get("weights_mib")),
        peak_error=_error(prediction.peak_activation_mib, measured.get("peak_activation_mib")),
        kv_error=_error(prediction.available_kv_mib, measured.get("available_kv_mib")),
        tokens_error=_error(prediction.kv_tokens, measured.get("kv_tokens")),
        set_aside=_set_aside(case),
        wrong=_wrong_verdict(prediction, truth, measured),
    )


def _wrong_verdict(prediction: Prediction, truth: Truth, measured: Mapping[str, float | bool]) -> str:
    if truth == "refused" and prediction.verdict == "fits":
        return "fits, and the server refuses"
    spare = float(measured.get("available_kv_mib", 0.0)) / max(prediction.needed_mib, 1e-9)
    if truth == "runs" and prediction.verdict == "does not fit":
        return "does not fit, and runs with room to spare" if spare >= SPARE_SHARE else "does not fit, and runs"
    return ""


def _set_aside(case: Mapping[str, Any]) -> str:
    """Why a case cannot be told from its settings: the server itself was changed."""
    if case.get("patch"):
        return "torch was changed for this run"
    environment = case.get("env")
    if isinstance(environment, Mapping) and _GRAPHS_SWITCH in environment:
        return f"{_GRAPHS_SWITCH} is not a setting of a plan"
    return ""


def _model(case: Mapping[str, Any]) -> tuple[ModelArchitecture, str, float | None, int | None]:
    """Architecture, family, rope factor and width of latent attention of a case's model."""
    config = case.get("architecture")
    if config is not None:
        if not isinstance(config, Mapping):
            raise Refusal([_wrong("architecture", "an object with the keys of a config.json")])
        nested = config.get("text_config")
        text = {**config, **nested} if isinstance(nested, Mapping) else dict(config)
        try:
            given = architecture_of(config, "case.architecture", strict=False)
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError, ZeroDivisionError):
            raise Refusal([_wrong("architecture", "a complete config.json")]) from None
        return given, given.family, _rope_factor(text, given.family), given.latent_width
    name = case.get("model")
    if not isinstance(name, str):
        raise Refusal([_wrong("model", "the name of a model, or give architecture")])
    models = load_catalog().models
    known = MODEL_NAMES.get(name, name)
    if known not in models:
        names = [*MODEL_NAMES, *models]
        raise Refusal(
            [
                Finding(
                    path="case.model",
                    what=f"{name[:100]} is not in the catalog",
                    why="without the model's numbers nothing about it can be planned",
                    fix=f"{suggestion(name, names)} Or give architecture with the keys of its config.json",
                )
            ]
        )
    model = models[known]
    if name.endswith("-text"):
        return _without_vision(known), model.family, None, None
    return model, model.family, None, None


@cache
def _without_vision(name: str) -> ModelArchitecture:
    """A catalog model's language model alone."""
    model = load_catalog().models[name]
    return model.model_copy(update={"parameters": text_parameters(model), "unquantized_parameters": 0})


def _rope_factor(text: Mapping[str, Any], family: str) -> float | None:
    """How much longer than the positions the rotary table is, over all its copies; None if the config is silent."""
    scaling = text.get("rope_scaling") or text.get("rope_parameters")
    if not isinstance(scaling, Mapping):
        return None
    if isinstance(scaling.get("full_attention"), Mapping):
        scaling = scaling["full_attention"]
    kind, factor = scaling.get("rope_type", scaling.get("type")), scaling.get("factor")
    positions = text.get("max_position_embeddings")
    usable = isinstance(factor, int | float) and not isinstance(factor, bool) and 0 < factor < _LARGEST
    if not usable or kind not in ("linear", "dynamic", "yarn"):
        return None
    stretched = float(factor) if isinstance(factor, int | float) else 1.0
    if kind == "yarn":
        original = scaling.get("original_max_position_embeddings")
        if isinstance(original, int) and isinstance(positions, int) and positions > 0 and original > 0:
            stretched *= original / positions
    return stretched + (1.0 if family.startswith("gemma3") else 0.0)


def _compile_cache(case: Mapping[str, Any], problems: list[Finding]) -> CompileCache | None:
    value = case.get("compile_cache")
    if value is None:
        return None
    if not isinstance(value, str):
        problems.append(_wrong("compile_cache", "cold, warm or none"))
        return None
    word = value.split(" ")[0]
    if word not in ("cold", "warm", "none", "n/a"):
        problems.append(_wrong("compile_cache", "cold, warm or none"))
    return "warm" if word in ("warm", "n/a") else "cold"


def _choice(case: Mapping[str, Any], key: str, allowed: tuple[str, ...], problems: list[Finding]) -> str | None:
    value = case.get(key)
    if value is None:
        return None
    if value not in allowed:
        problems.append(_wrong(key, " or ".join(allowed)))
        return None
    return str(value)


def _number(case: Mapping[str, Any], key: str, problems: list[Finding]) -> float | None:
    value = case.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
        problems.append(_wrong(key, "a number"))
        return None
    return float(value)


def _count(case: Mapping[str, Any], key: str, problems: list[Finding]) -> int | None:
    value = case.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _LARGEST:
        problems.append(_wrong(key, "a positive whole number"))
        return None
    return value


def _wrong(key: str, expected: str) -> Finding:
    return Finding(path=f"case.{key}", what=f"not {expected}", why="the prediction rests on it", fix=f"give {expected}")


def _name(case: Mapping[str, Any]) -> str:
    for key in ("id", "model"):
        if isinstance(case.get(key), str):
            return str(case[key])[:60]
    return "architecture"


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _error(predicted: float, measured: float | bool | None) -> float | None:
    """Difference in percent of what was measured."""
    if measured is None or measured < _SMALLEST:
        return None
    return 100 * (predicted - measured) / measured


def _spread(errors: list[float]) -> dict[str, float | int]:
    if not errors:
        return {"samples": 0, "median": 0.0, "worst": 0.0}
    sizes = [abs(error) for error in errors]
    return {"samples": len(sizes), "median": round(statistics.median(sizes), 3), "worst": round(max(sizes), 3)}


_COLUMNS = (
    ("weights MiB", "weights_mib"),
    ("peak MiB", "peak_activation_mib"),
    ("KV MiB", "available_kv_mib"),
    ("KV tokens", "kv_tokens"),
)


def _table(compared: list[Comparison]) -> str:
    heading = ["line", "case", *(title for title, _ in _COLUMNS), "tokens %", "verdict", "measured", "note"]
    rows = [heading]
    for entry in compared:
        cells = []
        for _, name in _COLUMNS:
            predicted, measured = getattr(entry.prediction, name), entry.measured.get(name)
            cells.append(f"{predicted:.0f}" if measured is None else f"{predicted:.0f} / {measured:.0f}")
        error = "" if entry.tokens_error is None else f"{entry.tokens_error:+.2f}"
        note = entry.wrong or entry.set_aside
        rows.append([str(entry.line), entry.name, *cells, error, entry.prediction.verdict, entry.truth, note])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    lines = ["predicted / measured"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _summary_text(summary: Mapping[str, Any]) -> str:
    lines = [f"{summary['cases']} cases, {len(summary['setAside'])} set aside"]
    for name, spread in summary["errorsPercent"].items():
        lines.append(f"{name}: median {spread['median']:.2f} %, worst {spread['worst']:.2f} % of {spread['samples']}")
    lines.append(f"wrong verdicts: {len(summary['wrongVerdicts'])}")
    lines += [f"  line {entry['line']} {entry['name']}: {entry['wrong']}" for entry in summary["wrongVerdicts"]]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print predictions beside measurements; 0 fine, 1 the file is wrong."""
    return run("tools.memory_accuracy", lambda text, as_json: report(read_cases(text), as_json), arguments)


if __name__ == "__main__":
    sys.exit(main())
