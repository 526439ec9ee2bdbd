"""Serving open LLMs on GKE: settings, plans and the catalogue they rest on. Imports neither Pulumi nor gRPC."""

from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.settings import Finding, Refusal, StackSettings, parse_settings

__all__ = ["Finding", "Refusal", "StackIdentity", "StackPlan", "StackSettings", "parse_settings", "plan_stack"]
