"""Times comparisons of two revisions: the dev stack with a git revision, then a stack of many servers, all changed.

`python -m benchmarks.diff [--runs N] [--servers N]` prints a table in Markdown. Every figure is of whole commands,
started again for each run: both revisions' programs and plans, the comparison, and every form of the report.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.preview import stack_of_servers

_ROOT = Path(__file__).resolve().parent.parent
_STACK = "many"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Times comparisons of two revisions.")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the table shows the median")
    parser.add_argument("--servers", type=int, default=100, help="servers of the large stack")
    options = parser.parse_args()
    sys.stdout.write("| stack | changed resources | seconds (median) | fastest – slowest | bytes of the comment |\n")
    sys.stdout.write("| --- | ---: | ---: | ---: | ---: |\n")
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "out")
        dev = ["--stack", "dev", "--project-dir", str(_ROOT), "--base", "HEAD"]
        _report("dev, unchanged", dev, out, options.runs)
        head, base = (_copy(Path(directory, name)) for name in ("head", "base"))
        for tree, context in ((head, 2048), (base, 4096)):
            stack = yaml.safe_dump(stack_of_servers(options.servers, context))
            (tree / f"Pulumi.{_STACK}.yaml").write_text(stack, "utf-8")
        many = ["--stack", _STACK, "--project-dir", str(head), "--base-dir", str(base)]
        _report(f"{options.servers} servers, each with another context", many, out, options.runs)


def _copy(target: Path) -> Path:
    """The files of this project that its program needs, in a directory of their own."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "out", "Pulumi.*.yaml")
    shutil.copytree(_ROOT, target, ignore=ignored)
    return target


def _report(name: str, arguments: list[str], out: Path, runs: int) -> None:
    command = [sys.executable, "-m", "gke_llm_inference", "diff", "--format", "json", "--out", str(out), *arguments]
    seconds, document = [], {}
    for _ in range(runs):
        started = time.perf_counter()
        ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - started)
        if ended.returncode:
            raise SystemExit(f"{' '.join(command)} failed with exit code {ended.returncode}: {ended.stderr}")
        document = json.loads(ended.stdout)
    cells = [
        name,
        str(len(document["stacks"][0]["resources"])),
        f"{statistics.median(seconds):.2f}",
        f"{min(seconds):.2f} – {max(seconds):.2f}",
        f"{len((out / 'comment.md').read_bytes()):,}",
    ]
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
