"""Times and weighs offline previews: the dev stack, stacks of more and more servers, and those of production.

`python -m benchmarks.preview [--runs N] [--servers N ...]` prints a table in Markdown. Every figure is of whole
processes: the preview and the program that it runs, started again for each run. Memory is each process's
peak, in MiB, read from /proc; elsewhere than on Linux it is left out. CPU seconds are of both processes together; they
tell more than the clock where others use the machine.
"""

import argparse
import copy
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).resolve().parent.parent
_DEFAULT_SERVERS = (1, 10, 30, 100, 300)
_PRODUCTION = _ROOT / "examples" / "production" / "Pulumi.standard.yaml"
_PRODUCTION_SECONDS = 3.0
_MANY_PRODUCTION = 100
_MANY_PRODUCTION_SECONDS = 8.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Run:
    """One preview: wall and CPU seconds, peak memory in MiB of its largest process and of all, and its resources."""

    seconds: float
    cpu_seconds: float
    largest_mib: float | None
    memory_mib: float | None
    resources: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Times offline previews.")
    parser.add_argument("--runs", type=int, default=3, help="runs of each stack; the table shows the median")
    parser.add_argument("--servers", type=int, nargs="*", default=_DEFAULT_SERVERS, help="sizes of the stacks")
    options = parser.parse_args()
    sys.stdout.write(
        "| stack | resources | seconds (median) | fastest – slowest | CPU seconds (median) | ms per server "
        "| peak MiB, largest process | both processes |\n"
    )
    sys.stdout.write("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
    _report("dev", [_preview(["--stack", "dev"]) for _ in range(options.runs)], None)
    with tempfile.TemporaryDirectory() as directory:
        for servers in options.servers:
            config = Path(directory, f"Pulumi.servers-{servers}.yaml")
            config.write_text(yaml.safe_dump(stack_of_servers(servers)), "utf-8")
            runs = [_preview(["--config-file", str(config)]) for _ in range(options.runs)]
            _report(f"{servers} server{'s' if servers > 1 else ''}", runs, servers)
        production = [_preview(["--config-file", str(_PRODUCTION)]) for _ in range(options.runs)]
        _report("production", production, None)
        config = Path(directory, "Pulumi.production.yaml")
        config.write_text(yaml.safe_dump(production_of_servers(_MANY_PRODUCTION)), "utf-8")
        many = [_preview(["--config-file", str(config)]) for _ in range(options.runs)]
        _report(f"production, {_MANY_PRODUCTION} servers", many, _MANY_PRODUCTION)
    sys.stdout.write("\n")
    for name, runs, most in (
        ("production", production, _PRODUCTION_SECONDS),
        (f"production, {_MANY_PRODUCTION} servers", many, _MANY_PRODUCTION_SECONDS),
    ):
        median = statistics.median(run.seconds for run in runs)
        sys.stdout.write(f"* {name}: {median:.2f} s ({'within' if median <= most else 'BEYOND'} {most:.0f} s)\n")


def production_of_servers(servers: int) -> dict[str, Any]:
    """The content of the production example's stack file with many servers, those of the file in turn.

    Args:
        servers: how many; a pool has room for all of them at their most.

    """
    content: dict[str, Any] = yaml.safe_load(_PRODUCTION.read_text("utf-8"))
    config = content["config"]
    given = sorted(config["gke-llm-inference:servers"].items())
    made = {}
    for number in range(servers):
        name, server = given[number % len(given)]
        made[f"{name}-{number:03d}"] = {**copy.deepcopy(server), "hostname": f"{name}-{number:03d}.llm.example.com"}
    most = sum(server["autoscaling"]["maxReplicas"] for server in made.values()) + 1
    config["gke-llm-inference:servers"] = made
    config["gke-llm-inference:nodePools"]["l4"]["maxNodes"] = most
    config["gke-llm-inference:gpuQuota"] = {"NVIDIA_L4_GPUS": most}
    return content


def stack_of_servers(servers: int, context: int = 4096, replicas: int = 2) -> dict[str, dict[str, object]]:
    """The content of a stack file with many servers on one pool.

    Args:
        servers: how many.
        context: of each, in tokens.
        replicas: of each.

    """
    prefix = "gke-llm-inference:"
    return {
        "config": {
            "gcp:project": "my-project",
            f"{prefix}cluster": {"mode": "standard", "location": "us-central1"},
            f"{prefix}nodePools": {"l4": {"maxNodes": 2 * servers}},
            f"{prefix}huggingFace": {"tokenSource": "existingSecret"},
            f"{prefix}servers": {
                f"gemma-{number:03d}": {
                    "server": "vllm",
                    "model": "google/gemma-7b-it",
                    "maxModelLen": context,
                    "replicas": replicas,
                }
                for number in range(servers)
            },
        }
    }


def _preview(arguments: list[str]) -> Run:
    command = [sys.executable, "-m", "gke_llm_inference", "preview", "--json", *arguments]
    started, used = time.perf_counter(), _cpu_seconds()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=subprocess.DEVNULL)
        peaks: dict[int, float] = {}
        while process.poll() is None:
            _note_peaks(process.pid, peaks)
            time.sleep(_POLL_SECONDS)
        seconds = time.perf_counter() - started
        output.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
        resources = json.load(output)["resourceCount"]
    return Run(
        seconds, _cpu_seconds() - used, max(peaks.values(), default=None), sum(peaks.values()) or None, resources
    )


def _cpu_seconds() -> float:
    """CPU seconds of all processes so far that were started here and have ended, and of those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _note_peaks(root: int, peaks: dict[int, float]) -> None:
    """Record the highest resident set so far of `root` and everything that it started."""
    pending = [root]
    while pending:
        process = pending.pop()
        try:
            status = Path(f"/proc/{process}/status").read_text("utf-8")
            children = [
                int(child)
                for task in Path(f"/proc/{process}/task").iterdir()
                for child in (task / "children").read_text("utf-8").split()
            ]
        except OSError:
            continue
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                peaks[process] = max(peaks.get(process, 0.0), int(line.split()[1]) / 1024)
        pending += children


def _report(name: str, runs: list[Run], servers: int | None) -> None:
    seconds = [run.seconds for run in runs]
    median = statistics.median(seconds)
    largest = [run.largest_mib for run in runs if run.largest_mib is not None]
    memory = [run.memory_mib for run in runs if run.memory_mib is not None]
    cells = [
        name,
        str(runs[0].resources),
        f"{median:.2f}",
        f"{min(seconds):.2f} – {max(seconds):.2f}",
        f"{statistics.median(run.cpu_seconds for run in runs):.2f}",
        f"{1000 * median / servers:.0f}" if servers else "",
        f"{max(largest):.0f}" if largest else "",
        f"{max(memory):.0f}" if memory else "",
    ]
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
