"""Constructs the components: inputs → plan → resources."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pulumi
from pulumi.provider import ConstructResult, Provider

from gke_llm_inference.components import (
    InferenceServer,
    InferenceServerArgs,
    InferenceStack,
    InferenceStackArgs,
    log_plan,
)
from gke_llm_inference.planning import StackIdentity
from gke_llm_inference.provider.arguments import COMPONENTS, GCP_PROJECT, STACK_TYPE, TOKEN_VERSION
from gke_llm_inference.provider.inputs import plain_values
from gke_llm_inference.provider.plans import argument_problems, server_plan, stack_plan
from gke_llm_inference.provider.schema import package_schema
from gke_llm_inference.settings import Finding, Refusal
from gke_llm_inference.settings.annotations import fields_of
from gke_llm_inference.settings.pulumi_keys import TOKEN_KEY
from gke_llm_inference.version import __version__

_UNRESOLVED = " "
"""Ends the path of a property. The engine shows the value that it finds under a path, even a secret's; with this, it
finds none."""
_Settings = Mapping[str, Any]
_Construct = Callable[[], ConstructResult]


class ComponentProvider(Provider):
    """Whole stacks and single servers for programs in other languages."""

    def __init__(self) -> None:
        super().__init__(__version__, json.dumps(package_schema()))

    def construct(
        self, name: str, resource_type: str, inputs: pulumi.Inputs, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        """Registers a component and everything below it.

        Raises:
            pulumi.InputPropertiesError: with every problem of the inputs, each at its property.

        """
        component = COMPONENTS[resource_type]
        raw = plain_values({key: value for key, value in inputs.items() if key not in component.outputs_allowed})
        problems = argument_problems(component, raw)
        settings = {key: raw[key] for key in fields_of(component.settings) if key in raw}
        stated = raw.get(GCP_PROJECT)
        identity = StackIdentity(
            pulumi.get_project(),
            pulumi.get_stack(),
            stated if isinstance(stated, str) else pulumi.Config("gcp").get("project"),
        )
        plan = _plan_of_stack if resource_type == STACK_TYPE else _plan_of_server
        try:
            construct = plan(name, settings, identity, inputs, options)
        except Refusal as refusal:
            raise property_errors([*problems, *refusal.problems]) from None
        if problems:
            raise property_errors(problems)
        return construct()


def property_errors(problems: Iterable[Finding]) -> pulumi.InputPropertiesError:
    """Problems of inputs as the SDK reports them, each at its property, and none with its value."""
    refusal = Refusal(problems)
    return pulumi.InputPropertiesError(
        str(refusal).partition(":\n")[0].replace("the configuration has", "the arguments have"),
        [{"property_path": f"{one.path}{_UNRESOLVED}", "reason": _reason(one)} for one in refusal.problems],
    )


def _reason(finding: Finding) -> str:
    return "\n".join(
        [finding.what, *(f"  {part}: {text}" for part, text in (("why", finding.why), ("fix", finding.fix)) if text)]
    )


def _plan_of_stack(
    name: str,
    settings: _Settings,
    identity: StackIdentity,
    inputs: pulumi.Inputs,
    options: pulumi.ResourceOptions | None,
) -> _Construct:
    token = inputs.get(TOKEN_KEY)
    plan = stack_plan(settings, identity, has_token=token is not None, preview=pulumi.runtime.is_dry_run())

    def construct() -> ConstructResult:
        given = "not set yet" if token is None else token
        stack = InferenceStack(name, InferenceStackArgs(plan=plan, token=given), options)
        log_plan(plan, stack)
        return ConstructResult(stack.urn, _known(stack.resources.outputs))

    return construct


def _plan_of_server(
    name: str,
    settings: _Settings,
    identity: StackIdentity,
    inputs: pulumi.Inputs,
    options: pulumi.ResourceOptions | None,
) -> _Construct:
    plan = server_plan(settings, name, identity)

    def construct() -> ConstructResult:
        arguments = InferenceServerArgs(plan=plan.servers[0], token_version=inputs.get(TOKEN_VERSION))
        server = InferenceServer(name, arguments, options)
        log_plan(plan, server)
        return ConstructResult(server.urn, _known(server.outputs))

    return construct


def _known(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in outputs.items() if value is not None}
