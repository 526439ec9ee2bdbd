"""The command `gke-llm-inference` and its subcommands."""

import sys
from collections.abc import Sequence

from gke_llm_inference.cli import plan, preview, settings

_COMMANDS = {
    "plan": plan.main,
    "models": plan.models,
    "settings": settings.main,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code."""
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments), ""][:-1] or [""]
    if name == "diff":
        return preview.main(["diff", *rest])
    if name == "policy":
        return preview.main(["--policy", *rest])
    if name == "preview":
        return preview.main(rest)
    if name in _COMMANDS:
        return _COMMANDS[name](rest)
    print(f"usage: gke-llm-inference preview|diff|policy|{'|'.join(_COMMANDS)}", file=sys.stderr)
    return 2
