"""Serving open LLMs on GKE: settings, plans and the catalog they rest on. Imports neither Pulumi nor gRPC.

The names are loaded when they are first used, so that the command starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
    from gke_llm_inference.settings import Finding, Refusal, StackSettings, parse_settings

__all__ = ["Finding", "Refusal", "StackIdentity", "StackPlan", "StackSettings", "parse_settings", "plan_stack"]

_MODULES = {
    "StackIdentity": "planning",
    "StackPlan": "planning",
    "plan_stack": "planning",
    "Finding": "settings",
    "Refusal": "settings",
    "StackSettings": "settings",
    "parse_settings": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
