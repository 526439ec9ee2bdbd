"""Predicted starts beside those that others measured, as docs/startup.md shows them.

`python -m tools.startup_accuracy` prints the table.
"""

import sys
from typing import Any

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.facts import MeasuredStart
from gke_llm_inference.planning import ServerPlan, StackIdentity, plan_stack
from gke_llm_inference.settings import parse_settings
from tools.markdown import table

_REPOSITORY = "us-central1-docker.pkg.dev/my-project/docker-hub/vllm/vllm-openai"
_REVISION = "0" * 40
_DISK = "projects/my-project/global/images/vllm"


def accuracy_table(catalog: Catalog) -> str:
    """The table: what took so long, what the plan says, and how far that is off."""
    heading = ("start", "predicted: image + rest", "measured: image + rest", "off by")
    return table(heading, [_row(one, catalog) for one in catalog.startup.measured], "lrrr")


def predicted(start: MeasuredStart, catalog: Catalog) -> tuple[int, int]:
    """Seconds that a plan gives the image, and the rest of the same start from a node that is there."""
    plan = _planned(start, catalog)
    image = 0 if start.image == "there" else round(plan.start.part("imagePull").seconds)
    return image, plan.start.expected_seconds


def _row(start: MeasuredStart, catalog: Catalog) -> tuple[str, str, str, str]:
    image, rest = predicted(start, catalog)
    total = image + rest
    return (
        f"{start.model.rpartition('/')[2]}, vLLM {start.version}: {start.title}",
        f"{image} + {rest} = {total} s",
        f"{start.image_seconds} + {start.seconds - start.image_seconds} = {start.seconds} s",
        f"{total / start.seconds - 1:+.0%}".replace("%", " %"),
    )


def _planned(start: MeasuredStart, catalog: Catalog) -> ServerPlan:
    server: dict[str, Any] = {
        "server": "vllm",
        "model": start.model,
        "version": start.version,
        "maxModelLen": 4096,
        "allowUnfit": True,
    }
    pool: dict[str, Any] = {}
    if start.image == "streamed":
        server["image"] = f"{_REPOSITORY}:v{start.version}"
    elif start.image == "preloaded":
        pool["secondaryBootDisks"] = [{"image": _DISK}]
    store: dict[str, Any] = {}
    if start.storage == "streamer":
        server |= {"modelSource": {"source": "modelStore", "by": "streamer"}, "revision": _REVISION}
        bucket = {"mode": "existing", "name": "my-models"}
        store["modelStore"] = {"bucket": bucket, "copy": False, "projectNumber": "123456789012"}
    elif start.storage != "nodeDisk":
        server["modelVolume"] = {"claim": "models", "storage": start.storage}
    raw = {
        "cluster": {"mode": "standard", "location": "us-central1"},
        "huggingFace": {"tokenSource": "config"},
        "nodePools": {"l4": pool},
        "servers": {"chat": server},
        **store,
    }
    identity = StackIdentity(project="gke-llm-inference", stack="startup", gcp_project="my-project")
    (plan,) = plan_stack(parse_settings(raw), identity, catalog).servers
    return plan


if __name__ == "__main__":
    sys.stdout.write(accuracy_table(load_catalog()))
