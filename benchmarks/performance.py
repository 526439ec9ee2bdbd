"""How good predictions of speed are, and how fast: against measurements, beside plain roofline.

`python -m benchmarks.performance` prints Markdown: errors with the constants of the catalog, errors of models that were
left out of the fit (as tools/fit_performance.py leaves them in the catalog), plain roofline on the same cases, an L4 by
what others published, what choosing by prediction costs, and the time of a simulation.
"""

import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.performance_facts import measurements_path, published_path, read_performance_facts
from gke_llm_inference.planning.performance import simulate
from tools.memory_accuracy import read_cases
from tools.performance_accuracy import case_of, compare, limits_of_case, summarize, timer_of
from tools.performance_goals import GOALS, L4_GOALS, MEAN_REGRET, SIMULATION_MS, verdict
from tools.performance_regret import choices, left_out_errors, mean_regret
from tools.performance_roofline import roofline


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
        f"* over the truly cheapest, model left out of the fit: {mean:.1f} % on average ({within} {MEAN_REGRET:.0f} %), "
        f"at most {max(choice.regret for choice in chosen):.1f} % in {len(chosen)} groups"
    )
    times = [_simulation_ms(case) for case in cases if case["kind"] == "serve"]
    _write("\n## Time\n")
    median = statistics.median(times)
    within = "within" if median <= SIMULATION_MS else "BEYOND"
    _write(f"* one server: median {median:.1f} ms, slowest {max(times):.1f} ms ({within} {SIMULATION_MS:.0f} ms)")


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
    for name, spread in summary.items():
        _write(
            f"| {name} | {spread['samples']:.0f} | {spread['median']:.1f} | {spread['p90']:.1f} | "
            f"{spread['worst']:.1f} | {verdict(name, spread, goals)} |"
        )


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
