"""Times imports of the package in CPU seconds, each in a new process with compiled files, beside what they may take.

`python -m benchmarks.imports [--runs N]` prints a table in Markdown; exit code 1 if a median is over its limit.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_STATEMENTS = {
    "pass": None,
    "import gke_llm_inference": 0.3,
    "from gke_llm_inference import parse_settings, plan_stack": 0.3,
    "from gke_llm_inference.components import InferenceServer": 1.2,
    "import gke_llm_inference.cli.main": 0.3,
}
"""What is timed, and the seconds it may take beyond Python's own start."""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Times imports of the package.")
    parser.add_argument("--runs", type=int, default=5, help="runs of each; the table shows the median")
    options = parser.parse_args()
    print("| statement | CPU seconds (median) | limit |\n| --- | ---: | ---: |")
    start, is_fine = 0.0, True
    for statement, limit in _STATEMENTS.items():
        _seconds(statement)  # writes the compiled files
        median = statistics.median(_seconds(statement) for _ in range(options.runs))
        if limit is None:
            start = median
        else:
            is_fine &= median - start <= limit
        print(f"| `{statement}` | {median - (0 if limit is None else start):.2f} | {limit or ''} |")
    return 0 if is_fine else 1


def _seconds(statement: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # The processor's time: an import waits for nothing, and other work on the machine does not count.
    before = os.times()
    subprocess.run([sys.executable, "-c", statement], cwd=_ROOT, env=environment, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(main())
