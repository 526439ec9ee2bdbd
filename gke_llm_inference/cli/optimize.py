"""The subcommand `optimize`: which GPUs, weights and limits serve a model's load best."""

import json as json_format
import sys
from typing import TYPE_CHECKING, Any

from gke_llm_inference.cli import options
from gke_llm_inference.cli.failures import EXIT_FINE, EXIT_WRONG
from gke_llm_inference.errors import UsageError
from gke_llm_inference.terminal import printable, write

if TYPE_CHECKING:
    from gke_llm_inference.catalog import Catalog


def optimize(
    model: options.ServedModel,
    gpus: options.Gpus = None,
    goal: options.SearchedGoal = None,
    workload: options.WorkloadProfile = None,
    input: options.InputTokens = None,  # noqa: A002 - the option's name
    output: options.OutputTokens = None,
    rate: options.Rate = None,
    concurrency: options.Concurrency = None,
    ttft_p95: options.TtftP95 = None,
    tpot_p95: options.TpotP95 = None,
    region: options.PricedRegion = "us-central1",
    spot: options.Spot = False,
    json: options.Json = False,
    plot: options.Plot = None,
    project_dir: options.ProjectDirectory = None,  # noqa: ARG001 - the same everywhere; no project is read
) -> int:
    """Find the GPUs, weights and limits that serve a load best: fast enough at the least cost, or by another goal.

    Every candidate that fits its GPUs is bounded by arithmetic, the best are simulated request by request.
    Latencies are estimates; what is proposed has passed the whole planner.
    """
    from gke_llm_inference.catalog import load_catalog
    from gke_llm_inference.cli.known_names import known_model, known_region
    from gke_llm_inference.cli.optimize_report import optimum_document, optimum_text
    from gke_llm_inference.planning.optimize import Asked
    from gke_llm_inference.planning.optimize import optimize as search

    catalog = load_catalog()
    objectives = _objectives(ttft_p95, tpot_p95)
    if goal == "objectives" and not objectives:
        raise UsageError("--goal objectives has none to meet: state --ttft-p95 or --tpot-p95")
    asked = Asked(
        model=known_model(model, catalog),
        goal=goal,
        workload=_workload(workload, input, output, rate, concurrency, catalog),
        objectives=objectives,
        gpus=_gpus(gpus, catalog),
        region=known_region(region, catalog),
        spot=spot,
    )
    if plot is not None:
        _require_plot_library()
    optimum = search(asked, catalog)
    if json:
        write(json_format.dumps(optimum_document(asked, optimum), indent=2) + "\n")
    else:
        write(optimum_text(asked, optimum, catalog.performance))
    if plot is not None:
        from gke_llm_inference.cli.optimize_plot import draw

        draw(asked, optimum, plot)
        print(f"wrote {printable(str(plot))}", file=sys.stderr)
    return EXIT_FINE if optimum.best else EXIT_WRONG


def _require_plot_library() -> None:
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib: pip install 'gke-llm-inference[plot]'")


def _gpus(given: str | None, catalog: "Catalog") -> tuple[str, ...]:
    from gke_llm_inference.planning.optimization.offers import predictable
    from gke_llm_inference.settings import suggestion

    if given is None:
        return ()
    known = predictable(catalog)
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"--gpus {printable(name)} is not a GPU whose speed is known; {suggestion(name, known)}")
    if not names:
        raise UsageError("--gpus names none")
    return tuple(dict.fromkeys(names))


def _workload(
    profile: str | None,
    inputs: int | None,
    outputs: int | None,
    rate: float | None,
    concurrency: int | None,
    catalog: "Catalog",
) -> tuple[tuple[str, Any], ...]:
    """The workload as the settings have it; what is not stated is the profile's."""
    from gke_llm_inference.planning.performance.workload import DEFAULT_PROFILE
    from gke_llm_inference.settings import suggestion

    profiles = catalog.workloads
    for option, value in (
        ("--input", inputs),
        ("--output", outputs),
        ("--rate", rate),
        ("--concurrency", concurrency),
    ):
        _positive(option, value)
    if profile is not None and profile not in profiles:
        raise UsageError(f"--workload {printable(profile)} is not a profile; {suggestion(profile, profiles)}")
    if rate is not None and concurrency is not None:
        raise UsageError("--rate and --concurrency are two loads; give one of them")
    own = inputs is not None and outputs is not None
    stated = {
        "profile": profile or (None if own else DEFAULT_PROFILE),
        "inputTokens": inputs,
        "outputTokens": outputs,
        "requestRate": rate,
        "concurrency": concurrency,
    }
    return tuple((key, _whole(value)) for key, value in stated.items() if value is not None)


def _objectives(ttft: float | None, tpot: float | None) -> tuple[tuple[str, Any], ...]:
    stated = {"ttft": _positive("--ttft-p95", ttft), "tpot": _positive("--tpot-p95", tpot)}
    return tuple((key, {"milliseconds": _whole(value)}) for key, value in stated.items() if value is not None)


def _whole(value: Any) -> Any:
    """A whole number as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _positive(option: str, value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise UsageError(f"{option} {value:g}: use a number above 0")
    return value
