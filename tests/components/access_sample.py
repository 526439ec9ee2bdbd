"""A stack whose servers are reached from outside of the cluster. It is recorded, never imported."""

from typing import Any

import pulumi

from components import ApiKeys, ApiKeysArgs, create_stack
from gke_llm_inference import StackIdentity, parse_settings, plan_stack
from gke_llm_inference.planning import StackPlan

PLANTED = {name: f"planted{name}planted0123456789" for name in ("apiKey", "apiKey2")}
OPEN = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}


def plan(servers: dict[str, Any], **gateway: Any) -> StackPlan:
    """A plan on Autopilot."""
    raw = {"cluster": {"mode": "autopilot", "location": "us-central1"}, "gateway": gateway, "servers": servers}
    return plan_stack(parse_settings(raw), StackIdentity("gke-llm-inference", "test", "my-project"))


outside = {"exposure": "external", "hostname": "out.example.com"}
create_stack(
    plan(
        {
            "out": {
                **OPEN,
                **outside,
                "version": "0.33.0",
                "apiKeys": {"source": "config", "keys": ["apiKey2", "apiKey"]},
            },
            "in": {
                **OPEN,
                "exposure": "internal",
                "hostname": "in.example.com",
                "apiKeys": {"source": "secretManager", "secret": "keys", "projectNumber": "123456789012"},
            },
            "one": {**OPEN, **outside, "hostname": "one.example.com", "apiKeys": {"source": "config"}},
            "many": {
                **OPEN,
                **outside,
                "hostname": "many.example.com",
                "replicas": 2,
                "routing": "inferenceGateway",
                "apiKeys": {"source": "existingSecret", "secretName": "keys"},
            },
            "alone": OPEN,
        },
        tls={"source": "certificateManager", "certificates": ["llm", "more"]},
        rateLimit={"requests": 600, "intervalSeconds": 60},
        addresses={"internal": "mine"},
    ),
    api_keys=PLANTED,
)
keys = plan({"short": {**OPEN, "apiKeys": {"source": "config", "keys": ["apiKey", "apiKey2"]}, "version": "0.33.0"}})
assert keys.servers[0].api_keys
try:
    ApiKeys("short", ApiKeysArgs(plan=keys.servers[0].api_keys, namespace="x", keys={"apiKey": "planted"}))
except pulumi.InputPropertiesError as error:
    pulumi.export("missing", error.errors)
