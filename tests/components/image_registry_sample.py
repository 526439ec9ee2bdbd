"""A stack on a cluster of others, whose images come through repositories of its own. It is recorded, never imported."""

from typing import Any

from components import create_stack
from gke_llm_inference import StackIdentity, parse_settings, plan_stack

QWEN = {"model": "Qwen/Qwen2.5-7B-Instruct", "allowUnfit": True}
raw: dict[str, Any] = {
    "cluster": {
        "mode": "existing",
        "name": "shared",
        "location": "us-central1",
        "nodeServiceAccount": "nodes@my-project.iam.gserviceaccount.com",
    },
    "nodePools": {"l4": {"maxNodes": 4}},
    "imageRegistry": {
        "mode": "create",
        "credentials": {
            "docker.io": {"username": "acme", "secretVersion": "projects/vault/secrets/docker-hub/versions/3"}
        },
    },
    "servers": {"chat": {"server": "vllm", **QWEN}, "old": {"server": "tgi", **QWEN}},
}
create_stack(plan_stack(parse_settings(raw), StackIdentity("gke-llm-inference", "test", "my-project")))
