"""How good predictions of speed are, and how fast: against measurements, beside plain roofline.

`python -m benchmarks.performance` prints Markdown: errors with the constants of the catalog, errors of models that were
left out of the fit (as tools/fit_performance.py leaves them in the catalog), plain roofline on the same cases, an L4 by
what others published, what choosing by prediction costs, what a calibration of one model does for it and for others,
and the time of a simulation.
"""

import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.performance_facts import measurements_path, published_path, read_performance_facts
from gke_llm_inference.planning.performance.simulation import simulate
from tools.calibration_accuracy import QUANTITIES, judged, wrong_roofs
from tools.memory_accuracy import read_cases
from tools.performance_accuracy import case_of, compare, limits_of_case, spread, summarize, timer_of
from tools.performance_goals import GOALS, L4_GOALS, MEAN_REGRET, SIMULATION_MS, verdict
from tools.performance_regret import choices, left_out_errors, mean_regret
from tools.performance_roofline import roofline

_WRONG = (("nvidia-h100-80gb", 0.8), ("nvidia-h100-80gb", 1.2), ("nvidia-h200-141gb", 0.8), ("nvidia-h200-141gb", 1.2))


def main() -> None:
    """Print everything."""
    cases = list(read_cases(measurements_path().read_text("utf-8")).values())
    facts = read_performance_facts()
    _write("## Speed: constants fitted to all models\n")
    _errors(summarize(compare(cases)))
    _write("\n## Speed: models left out of the fit, each in turn\n")
    _errors({name: residual.model_dump() for name, residual in facts.residuals.items()})
    _write("\n## Speed: plain roofline on the same cases\n")
    _errors(summarize(compare(cases, roofline(facts))))
    published = read_cases(published_path().read_text("utf-8"))
    usual = [case for case in published.values() if case["default_kernels"]]
    _write("\n## Speed: an L4, by what others published\n")
    _errors(summarize(compare(usual)), L4_GOALS)
    _write("\n## Speed: the same with kernels that are chosen by hand or engines of old\n")
    _errors(summarize(compare([case for case in published.values() if not case["default_kernels"]])), L4_GOALS)
    _write("\n## Cost of the configuration that is predicted to be the cheapest\n")
    chosen = choices(read_cases(measurements_path().read_text("utf-8")), left_out_errors("model"))
    mean = mean_regret(chosen)
    within = "within" if mean <= MEAN_REGRET else "BEYOND"
    _write(
        f"* over the truly cheapest, model left out of the fit: {mean:.1f} % on average "
        f"({within} {MEAN_REGRET:.0f} %), "
        f"at most {max(choice.regret for choice in chosen):.1f} % in {len(chosen)} groups"
    )
    _calibrations(cases)
    times = [_simulation_ms(case) for case in cases if case["kind"] == "serve"]
    _write("\n## Time\n")
    median = statistics.median(times)
    within = "within" if median <= SIMULATION_MS else "BEYOND"
    _write(f"* one server: median {median:.1f} ms, slowest {max(times):.1f} ms ({within} {SIMULATION_MS:.0f} ms)")


def _calibrations(cases: list[dict[str, Any]]) -> None:
    """Each configuration as a calibration: with the catalog's roofs, and with some that are a fifth wrong."""
    facts, catalog = read_performance_facts(), load_catalog()
    asked = [("roofs as they are", cases, facts)]
    for gpu, factor in _WRONG:
        own = [case for case in cases if case["gpu"] == gpu]
        asked.append((f"{gpu}, roofs {factor:.0%}", own, wrong_roofs(facts, gpu, factor)))
    _write("\n## Speed: measured configurations as calibrations\n")
    _write("| | predicted | quantity | without: median, p90 % | with: median, p90 % | within the band | mean band % |")
    _write("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for title, own, given in asked:
        found = judged(own, catalog, given)
        for who, before, after in (
            ("itself", found.own_before, found.own),
            ("others", found.others_before, found.others),
        ):
            for name in QUANTITIES:
                sizes = [_sizes(errors[name]) for errors in (before, after)]
                within = statistics.fmean(abs(error) <= band for error, band in after[name])
                band = statistics.fmean(band for _, band in after[name])
                _write(f"| {title} | {who} | {name} | {sizes[0]} | {sizes[1]} | {within:.1%} | {band:.1f} |")


def _sizes(errors: list[tuple[float, float]]) -> str:
    found = spread([error for error, _ in errors])
    return f"{found['median']:.1f}, {found['p90']:.1f}"


def _simulation_ms(raw: dict[str, Any]) -> float:
    """Time to predict one server from nothing but its facts."""
    case, memory, facts = case_of(raw), load_catalog().memory, read_performance_facts()
    assert case.load is not None
    started = time.process_time()
    simulate(timer_of(case, memory, facts), limits_of_case(case, memory, facts), case.load)
    return 1000 * (time.process_time() - started)


def _errors(summary: dict[str, dict[str, float]], goals: Mapping[str, tuple[float, float]] = GOALS) -> None:
    _write("| quantity | cases | median % | p90 % | worst % | median / p90 |")
    _write("| --- | ---: | ---: | ---: | ---: | --- |")
    for name, found in summary.items():
        _write(
            f"| {name} | {found['samples']:.0f} | {found['median']:.1f} | {found['p90']:.1f} | "
            f"{found['worst']:.1f} | {verdict(name, found, goals)} |"
        )


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
