"""A stack that has its certificates made. It is recorded, never imported."""

from components import create_stack
from gke_llm_inference import StackIdentity, parse_settings, plan_stack

OPEN = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}
KEYS = {"source": "existingSecret", "secretName": "keys"}

raw = {
    "cluster": {"mode": "autopilot", "location": "us-central1"},
    "gateway": {"tls": {"source": "certificateManager", "managed": True}},
    "servers": {
        "out": {**OPEN, "exposure": "external", "hostname": "llm.example.com", "apiKeys": KEYS},
        "in": {**OPEN, "exposure": "internal", "hostname": "in.example.com", "apiKeys": KEYS},
        "both": {**OPEN, "exposure": "internal", "hostname": "llm.example.com", "apiKeys": KEYS},
    },
}
create_stack(plan_stack(parse_settings(raw), StackIdentity("gke-llm-inference", "test", "my-project")))
