"""The policies for the Pulumi CLI: what `pulumi_policy` calls, and its values turned into the policies' own view."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi
from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from gke_llm_inference.policy.checks import check
from gke_llm_inference.policy.configuration import Configured
from gke_llm_inference.policy.model import Policy, ResourcePolicy
from gke_llm_inference.policy.resources import Opaque, Resource
from gke_llm_inference.settings.base import Settings
from gke_llm_inference.settings.descriptions import json_schema
from gke_llm_inference.settings.parse import parse_model

NAME = "gke-llm-inference"


def pulumi_policies(configured: Sequence[Configured]) -> list[ResourceValidationPolicy | StackValidationPolicy]:
    """The policies as `pulumi_policy` takes them, with the levels of an environment."""
    return [
        _resource_policy(one) if isinstance(one.policy, ResourcePolicy) else _stack_policy(one) for one in configured
    ]


def initial_config(configured: Sequence[Configured]) -> dict[str, dict[str, Any]]:
    """Levels and settings of an environment; what `--policy-pack-config` says goes over them."""
    return {
        one.policy.name: {
            "enforcementLevel": EnforcementLevel(one.level),
            **one.settings.model_dump(mode="json", by_alias=True),
        }
        for one in configured
    }


def _resource_policy(one: Configured) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = Resource(args.urn, args.resource_type, args.name, plain_properties(args.props), args.opts.protect)
        for violation in check(one.policy, [resource], _settings(one, args.get_config())):
            report(message_of(one.policy, violation.message), None)

    return ResourceValidationPolicy(**_described(one, validate))


def _stack_policy(one: Configured) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [_resource_of(resource) for resource in args.resources]
        for violation in check(one.policy, resources, _settings(one, args.get_config())):
            report(message_of(one.policy, violation.message), violation.urn or None)

    return StackValidationPolicy(**_described(one, validate))


def message_of(policy: Policy, message: str) -> str:
    """What the CLI shows of a violation, after the policy's description."""
    return f"{message}\nfix: {policy.fix}"


def _described(one: Configured, validate: Callable[..., None]) -> dict[str, Any]:
    schema = json_schema(one.policy.settings)
    return {
        "name": one.policy.name,
        "description": one.policy.description,
        "validate": validate,
        "enforcement_level": EnforcementLevel(one.level),
        "config_schema": PolicyConfigSchema(schema["properties"], schema["required"])
        if schema.get("properties")
        else None,
        "remediation_steps": one.policy.fix,
    }


def _settings(one: Configured, given: Mapping[str, Any]) -> Settings:
    """The settings of this run: the environment's where the engine hands none."""
    return parse_model(one.policy.settings, plain(given), path=one.policy.name) if given else one.settings


def _resource_of(resource: PolicyResource) -> Resource:
    return Resource(
        resource.urn, resource.resource_type, resource.name, plain_properties(resource.props), resource.opts.protect
    )


def plain_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a resource as policies read them."""
    return {str(key): plain(_value(properties, key)) for key in properties}


def plain(value: Any) -> Any:
    """A value in plain types; what is unknown, and the content of assets, is opaque."""
    if isinstance(value, Mapping):
        return plain_properties(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(_value(value, index)) for index in range(len(value))]
    if isinstance(value, pulumi.Asset | pulumi.Archive):
        return Opaque.UNKNOWN
    if isinstance(value, float) and value.is_integer():
        return int(value)  # the wire has one kind of numbers
    return value


def _value(container: Any, key: Any) -> Any:
    try:
        return container[key]
    except UnknownValueError:
        return Opaque.UNKNOWN
