"""Times and weighs the simulated GKE: until it is ready, what it takes, and many servers at once.

`python -m benchmarks.local_gke [--servers 200] [--speed 60]` starts a control plane of its own, prints a table in
Markdown, and removes everything. The programs must be in the cache or on PATH already. Times are of this machine at
this moment; the load average beside them says how busy it was.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.preview import stack_of_servers
from gke_llm_inference.planning.stack import StackIdentity, plan_stack
from gke_llm_inference.preview.manifests import manifests_of
from gke_llm_inference.preview.run import record
from gke_llm_inference.settings import parse_settings
from local.gke import LocalGke, Running
from local.gke.api import Api
from local.gke.control_plane import Credentials, Layout

_ROOT = Path(__file__).resolve().parent.parent
_MOST_SECONDS = 900
_POLL_SECONDS = 0.5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Times and weighs the simulated GKE.")
    parser.add_argument("--servers", type=int, default=200, help="servers of one replica, each on a node of its own")
    parser.add_argument("--speed", type=float, default=60.0, help="simulated seconds in one second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        gke = LocalGke(Path(directory) / "gke")
        try:
            _measure(gke, Path(directory), options.servers, options.speed)
        finally:
            gke.reset()


def _measure(gke: LocalGke, directory: Path, servers: int, speed: float) -> None:
    sys.stdout.write("| what | figure | load |\n| --- | ---: | ---: |\n")
    running, seconds = _start(gke, speed)
    _row("control plane ready, first start", f"{seconds:.1f} s")
    _row("memory of its processes", _memory(running))
    gke.stop()
    running, seconds = _start(gke, speed)
    _row("control plane ready, later starts", f"{seconds:.1f} s")
    documents = _prepare(gke, directory, servers)
    layout = Layout(gke.directory)
    credentials = Credentials.of(layout)
    api = Api(running.server, credentials.authority.files.certificate, credentials.administrator)
    started = time.monotonic()
    for document in documents:
        api.apply(document)
    _row(f"{servers} servers applied", f"{time.monotonic() - started:.1f} s")
    while (ready := _ready(api)) < servers:
        if time.monotonic() - started > _MOST_SECONDS:
            raise SystemExit(f"only {ready} of {servers} servers are ready after {_MOST_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    _row(f"{servers} servers ready on {servers} nodes, from the first object on", f"{time.monotonic() - started:.1f} s")
    _row("memory of its processes then", _memory(running))


def _start(gke: LocalGke, speed: float) -> tuple[Running, float]:
    started = time.monotonic()
    return gke.start(speed=speed), time.monotonic() - started


def _prepare(gke: LocalGke, directory: Path, servers: int) -> list[dict[str, Any]]:
    """Tell the cluster about the stack, and return its objects, the namespace first."""
    config = stack_of_servers(servers, replicas=1)
    prefix = "gke-llm-inference:"
    raw = {key.removeprefix(prefix): value for key, value in config["config"].items() if key.startswith(prefix)}
    identity = StackIdentity(project="gke-llm-inference", stack="many", gcp_project="my-project")
    gke.simulate(plan_stack(parse_settings(raw), identity))
    path = directory / "Pulumi.many.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    documents = [
        yaml.safe_load(manifest.text) for manifest in manifests_of(record(_ROOT, config_file=path, timeout=600))
    ]
    return sorted(documents, key=lambda document: document["kind"] != "Namespace")


def _ready(api: Api) -> int:
    deployments = api.items("/apis/apps/v1/namespaces/llm-inference/deployments")
    return sum(one["status"].get("readyReplicas", 0) for one in deployments)


def _memory(running: Running) -> str:
    return f"{sum(process.memory_mib or 0 for process in running.processes):.0f} MiB"


def _row(what: str, figure: str) -> None:
    sys.stdout.write(f"| {what} | {figure} | {os.getloadavg()[0]:.1f} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
