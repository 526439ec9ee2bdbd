"""A stack that is watched. It is recorded, never imported."""

from typing import Any

from components import create_stack
from gke_llm_inference import StackIdentity, parse_settings, plan_stack

raw: dict[str, Any] = {
    "cluster": {"mode": "standard", "location": "us-central1"},
    "nodePools": {"l4": {"accelerator": {"type": "nvidia-l4", "count": 1}, "maxNodes": 4}},
    "observability": {
        "metrics": {"enabled": True},
        "dashboards": {"enabled": True},
        "gpuMetrics": {"enabled": True},
        "tracing": {"endpoint": "http://collector.telemetry.svc.cluster.local:4317"},
        "alerts": {
            "enabled": True,
            "notificationChannels": ["projects/my-project/notificationChannels/123"],
            "runbooks": "https://wiki.example.com/runbooks",
        },
    },
    "servers": {
        "chat": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096},
        "old": {"server": "tgi", "model": "Qwen/Qwen2.5-7B-Instruct", "allowUnfit": True},
    },
}
create_stack(plan_stack(parse_settings(raw), StackIdentity("gke-llm-inference", "test", "my-project")))
