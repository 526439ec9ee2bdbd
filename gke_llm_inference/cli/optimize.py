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
    from gke_llm_inference.planning.optimization import Workload

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
    from gke_llm_inference.catalog.performance_facts import read_performance_facts
    from gke_llm_inference.cli.optimize_report import optimum_document, optimum_text
    from gke_llm_inference.planning.optimization import Objectives, Question
    from gke_llm_inference.planning.optimization import optimize as search

    catalog, facts = load_catalog(), read_performance_facts()
    question = Question(
        model=_known_model(model, catalog),
        workload=_workload(workload, input, output, rate),
        objectives=Objectives(ttft_ms=_positive("--ttft-p95", ttft_p95), tpot_ms=_positive("--tpot-p95", tpot_p95)),
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


def _workload(profile: str | None, inputs: int | None, outputs: int | None, rate: float | None) -> "Workload":
    from gke_llm_inference.catalog.workload_facts import read_workload_profiles
    from gke_llm_inference.planning.optimization import Workload
    from gke_llm_inference.planning.performance import Lengths
    from gke_llm_inference.settings import suggestion

    profiles = read_workload_profiles()
    for option, value in (("--input", inputs), ("--output", outputs)):
        _positive(option, value)
    _positive("--rate", rate)
    if profile is None and inputs and outputs:
        return Workload(
            name="custom", inputs=Lengths(p50=inputs), outputs=Lengths(p50=outputs), rate=rate, source="as stated"
        )
    name = profile or "chat"
    if name not in profiles:
        raise UsageError(f"--workload {printable(name)} is not a profile; {suggestion(name, profiles)}")
    given = profiles[name]
    return Workload(
        name=name,
        inputs=Lengths(p50=inputs) if inputs else Lengths(p50=given.input_tokens.p50, p90=given.input_tokens.p90),
        outputs=Lengths(p50=outputs) if outputs else Lengths(p50=given.output_tokens.p50, p90=given.output_tokens.p90),
        rate=rate,
        burstiness=given.burstiness,
        prefix_hit_rate=given.prefix_cache_hit_rate,
        source=given.source,
    )


def _positive(option: str, value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise UsageError(f"{option} {value:g}: use a number above 0")
    return value
