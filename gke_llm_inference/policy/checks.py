"""Checks resources against policies: the same for every way that policies are run."""

from collections.abc import Iterator, Sequence

from gke_llm_inference.policy.model import Policy, ResourcePolicy, StackPolicy, Violation
from gke_llm_inference.policy.resources import Resource
from gke_llm_inference.secret_rules import masked
from gke_llm_inference.settings.base import Settings


def check_resource(policy: ResourcePolicy, resource: Resource, settings: Settings) -> Iterator[Violation]:
    """What is wrong with one resource."""
    for message in policy.check(resource, settings):
        yield Violation(policy.name, resource.urn, masked(message))


def check_stack(policy: StackPolicy, resources: Sequence[Resource], settings: Settings) -> Iterator[Violation]:
    """What is wrong with the resources of a stack together."""
    for urn, message in policy.check(resources, settings):
        yield Violation(policy.name, urn or "", masked(message))


def check(policy: Policy, resources: Sequence[Resource], settings: Settings) -> tuple[Violation, ...]:
    """Everything that breaks a policy, sorted by resource and message, each once."""
    if isinstance(policy, StackPolicy):
        found = set(check_stack(policy, sorted(resources, key=lambda one: one.urn), settings))
    else:
        found = {violation for resource in resources for violation in check_resource(policy, resource, settings)}
    return tuple(sorted(found))
