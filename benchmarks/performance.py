"""How good predictions of speed are, and how fast: against measurements, beside plain roofline.

`python -m benchmarks.performance` prints Markdown: errors with the constants of the catalog, errors of models that were
left out of the fit (as tools/fit_performance.py leaves them in the catalog), plain roofline on the same cases, and the
time of a simulation.
"""

import statistics
import sys
import time
from typing import Any

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.catalog.performance_facts import measurements_path, read_performance_facts
from gke_llm_inference.planning.performance import simulate
from tools.memory_accuracy import read_cases
from tools.performance_accuracy import case_of, compare, limits_of_case, summarize, timer_of
from tools.performance_roofline import roofline

_LIMITS = {
    "step_ms": (4.0, 13.0),
    "tpot_ms.p50": (5.0, 12.0),
    "output_tokens_per_second": (5.0, 8.0),
    "ttft_ms.p50": (12.0, 30.0),
}
_SIMULATION_MS = 10.0


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
    times = [_simulation_ms(case) for case in cases if case["kind"] == "serve"]
    _write("\n## Time\n")
    median = statistics.median(times)
    verdict = "within" if median <= _SIMULATION_MS else "BEYOND"
    _write(f"* one server: median {median:.1f} ms, slowest {max(times):.1f} ms ({verdict} {_SIMULATION_MS:.0f} ms)")


def _simulation_ms(raw: dict[str, Any]) -> float:
    """Time to predict one server from nothing but its facts."""
    case, memory, facts = case_of(raw), load_catalog().memory, read_performance_facts()
    assert case.load is not None
    started = time.process_time()
    simulate(timer_of(case, memory, facts), limits_of_case(case, memory, facts), case.load)
    return 1000 * (time.process_time() - started)


def _errors(summary: dict[str, dict[str, float]]) -> None:
    _write("| quantity | cases | median % | p90 % | worst % | |")
    _write("| --- | ---: | ---: | ---: | ---: | --- |")
    for name, spread in summary.items():
        verdict = ""
        if name in _LIMITS:
            median, p90 = _LIMITS[name]
            fine = spread["median"] <= median and spread["p90"] <= p90
            verdict = f"{'within' if fine else 'BEYOND'} {median:.0f} / {p90:.0f} %"
        _write(
            f"| {name} | {spread['samples']:.0f} | {spread['median']:.1f} | {spread['p90']:.1f} | "
            f"{spread['worst']:.1f} | {verdict} |"
        )


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
