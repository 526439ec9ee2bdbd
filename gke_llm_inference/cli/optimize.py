"""The subcommand `optimize`: which GPUs, weights and limits serve a model's load at the least cost."""

import json as json_format
import sys
from typing import TYPE_CHECKING

from gke_llm_inference.cli import options
from gke_llm_inference.cli.failures import EXIT_FINE, EXIT_WRONG
from gke_llm_inference.errors import UsageError
from gke_llm_inference.terminal import printable, write

if TYPE_CHECKING:
    from gke_llm_inference.catalog import Catalog
    from gke_llm_inference.catalog.performance_facts import PerformanceFacts
    from gke_llm_inference.planning.performance import LatencyBound, Workload

_PERCENTILE = 95


def optimize(
    model: options.ServedModel,
    gpus: options.Gpus = None,
    workload: options.WorkloadProfile = None,
    input: options.InputTokens = None,  # noqa: A002 - the option's name
    output: options.OutputTokens = None,
    rate: options.Rate = None,
    ttft_p95: options.TtftP95 = None,
    tpot_p95: options.TpotP95 = None,
    region: options.PricedRegion = "us-central1",
    json: options.Json = False,
    plot: options.Plot = None,
    project_dir: options.ProjectDirectory = None,  # noqa: ARG001 - the same everywhere; no project is read
) -> int:
    """Find the cheapest GPUs, weights and limits that serve a load fast enough.

    Every candidate that fits its GPUs is bounded by arithmetic, the cheapest are simulated request by request.
    Latencies are estimates; what is proposed has passed the whole planner.
    """
    from gke_llm_inference.catalog import load_catalog
    from gke_llm_inference.cli.optimize_report import optimum_document, optimum_text
    from gke_llm_inference.planning.optimization import Question
    from gke_llm_inference.planning.optimization import optimize as search
    from gke_llm_inference.planning.performance import Objectives

    catalog = load_catalog()
    facts = catalog.performance
    question = Question(
        model=_known_model(model, catalog),
        workload=_workload(workload, input, output, rate, catalog),
        objectives=Objectives(ttft=_bound("--ttft-p95", ttft_p95), tpot=_bound("--tpot-p95", tpot_p95)),
        gpus=_gpus(gpus, catalog, facts),
        region=_region(region, catalog),
    )
    if plot is not None:
        _require_plot_library()
    optimum = search(question, catalog, facts)
    if json:
        write(json_format.dumps(optimum_document(optimum), indent=2) + "\n")
    else:
        write(optimum_text(optimum, facts))
    if plot is not None:
        from gke_llm_inference.cli.optimize_plot import draw

        draw(optimum, plot)
        print(f"wrote {printable(str(plot))}", file=sys.stderr)
    return EXIT_FINE if optimum.best else EXIT_WRONG


def _require_plot_library() -> None:
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib: pip install 'gke-llm-inference[plot]'")


def _known_model(model: str, catalog: "Catalog") -> str:
    from gke_llm_inference.settings import suggestion

    if model in catalog.checkpoints:
        base = catalog.checkpoints[model].base
        raise UsageError(
            f"--model {model} is a checkpoint of {base}; name that one, its checkpoints are tried by themselves"
        )
    if model not in catalog.models:
        raise UsageError(
            f"--model {printable(model)} is not a model of the catalog; {suggestion(model, catalog.models)}"
        )
    return model


def _gpus(given: str | None, catalog: "Catalog", facts: "PerformanceFacts") -> tuple[str, ...]:
    from gke_llm_inference.settings import suggestion

    known = [gpu for gpu in facts.gpus if gpu in catalog.accelerators and gpu in catalog.memory.versions.visible_memory]
    if given is None:
        return tuple(known)
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"--gpus {printable(name)} is not a GPU whose speed is known; {suggestion(name, known)}")
    if not names:
        raise UsageError("--gpus names none")
    return tuple(dict.fromkeys(names))


def _region(region: str, catalog: "Catalog") -> str:
    from gke_llm_inference.settings import suggestion

    regions = {known for facts in catalog.accelerators.values() for known in facts.zones}
    if region not in regions:
        raise UsageError(f"--region {printable(region)} is not a region with GPUs; {suggestion(region, regions)}")
    return region


def _workload(
    profile: str | None, inputs: int | None, outputs: int | None, rate: float | None, catalog: "Catalog"
) -> "Workload":
    from gke_llm_inference.planning.performance import workload_of
    from gke_llm_inference.settings import TokenCounts, WorkloadSettings, suggestion

    profiles = catalog.workloads
    for option, value in (("--input", inputs), ("--output", outputs), ("--rate", rate)):
        _positive(option, value)
    if profile is not None and profile not in profiles:
        raise UsageError(f"--workload {printable(profile)} is not a profile; {suggestion(profile, profiles)}")
    stated = WorkloadSettings(
        profile=profile,
        input_tokens=TokenCounts(p50=inputs) if inputs else None,
        output_tokens=TokenCounts(p50=outputs) if outputs else None,
        request_rate=rate,
    )
    return workload_of(stated, profiles)


def _bound(option: str, milliseconds: float | None) -> "LatencyBound | None":
    from gke_llm_inference.planning.performance import LatencyBound

    given = _positive(option, milliseconds)
    return None if given is None else LatencyBound(milliseconds=given, percentile=_PERCENTILE)


def _positive(option: str, value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise UsageError(f"{option} {value:g}: use a number above 0")
    return value
