"""The policy pack that `pulumi preview --policy-pack policy-pack` starts; making it starts its server."""

import os
import sys
from pathlib import Path

# The CLI runs this file with its own directory on the path; the packages lie beside that.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import pulumi  # noqa: E402
from pulumi_policy import PolicyPack  # noqa: E402

from gke_llm_inference.policy.configuration import configure, environment_document, environment_of  # noqa: E402
from gke_llm_inference.policy.pack import NAME, initial_config, pulumi_policies  # noqa: E402

environment = environment_of(os.environ.get("PULUMI_STACK", ""), pulumi.Config("policy").get("environment"))
configured = configure(environment_document(environment))
PolicyPack(
    NAME,
    policies=[*pulumi_policies(configured)],
    initial_config={**initial_config(configured)},
    description=f"Policies for LLM inference on GKE, with the levels of {environment}",
)
