"""How long a stack takes to plan whose servers list their capacity.

`python -m benchmarks.capacity` prints a Markdown table: servers, tiers each, seconds, and milliseconds a server.
"""

import sys
import time
from typing import Any

from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.settings import parse_settings

LIMIT_SECONDS = 4.0
"""For a thousand servers with four tiers."""
_SIZES = (125, 250, 500, 1000)
_TIERS: list[Any] = [
    {"model": "reservation", "name": "l4-res", "zones": ["us-central1-a"]},
    "onDemand",
    {"model": "flexStart", "recycleLeadSeconds": 3600},
    {"model": "spot", "machineType": "a2-highgpu-1g"},
]
_MODELS = ("Qwen/Qwen2.5-7B-Instruct", "mistralai/Mistral-7B-Instruct-v0.3", "google/gemma-3-1b-it")


def main() -> None:
    """Print the table."""
    seconds_of(8)  # what is read and imported once
    sys.stdout.write("| servers | tiers each | seconds | ms a server |\n| ---: | ---: | ---: | ---: |\n")
    for servers in _SIZES:
        seconds = seconds_of(servers)
        verdict = "within" if seconds <= LIMIT_SECONDS else "BEYOND"
        within = f" ({verdict} {LIMIT_SECONDS:g})" if servers == _SIZES[-1] else ""
        sys.stdout.write(f"| {servers} | {len(_TIERS)} | {seconds:.2f}{within} | {1000 * seconds / servers:.1f} |\n")


def seconds_of(servers: int) -> float:
    """Processor seconds of planning so many servers, which all differ in their context."""
    raw = {
        "cluster": {"mode": "autopilot", "location": "us-central1", "gkeVersion": "1.35.1-gke.1000000"},
        "huggingFace": {"tokenSource": "config"},
        "servers": {
            f"server-{index}": {
                "server": "vllm",
                "model": _MODELS[index % len(_MODELS)],
                "maxModelLen": 4096 + 16 * index // len(_MODELS),
                "capacity": _TIERS,
            }
            for index in range(servers)
        },
    }
    settings = parse_settings(raw)
    started = time.process_time()
    plan_stack(settings, StackIdentity("gke-llm-inference", "benchmark", "my-project"))
    return time.process_time() - started


if __name__ == "__main__":
    main()
