"""From a stack's configuration to its plan, the way every program of a stack file goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pulumi

from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.planning.remainder import with_the_rest
from gke_llm_inference.settings import Finding, Refusal
from gke_llm_inference.settings.pulumi_config import read_api_keys, read_configuration, read_token


@dataclass(frozen=True, kw_only=True)
class ConfiguredStack:
    """What a stack's configuration asks for.

    Attributes:
        plan: the stack, decided and checked.
        token: the Hugging Face token as a Pulumi secret, where the configuration holds it.
        api_keys: API keys as Pulumi secrets by their names in the configuration, those that servers name.

    """

    plan: StackPlan
    token: pulumi.Output[str] | None = field(default=None, repr=False)
    api_keys: Mapping[str, pulumi.Output[str]] = field(default_factory=dict, repr=False)


def read_stack() -> ConfiguredStack:
    """The plan of the stack that Pulumi is running, from its `Pulumi.<stack>.yaml`; warnings and decisions are logged.

    Raises:
        pulumi.RunError: with every problem of the configuration.

    """
    identity = StackIdentity(pulumi.get_project(), pulumi.get_stack(), pulumi.Config("gcp").get("project"))
    try:
        configuration = read_configuration()
    except Refusal as refusal:
        raise pulumi.RunError(str(with_the_rest(refusal, identity))) from None
    settings, origins = configuration.settings, configuration.origins
    token = None
    api_keys: Mapping[str, pulumi.Output[str]] = {}
    problems: list[Finding] = []
    try:
        token = read_token(settings)
    except Refusal as refusal:
        problems += refusal.problems
    try:
        api_keys = read_api_keys(settings)
    except Refusal as refusal:
        problems += refusal.problems
    try:
        plan = plan_stack(settings, identity)
    except Refusal as refusal:
        raise pulumi.RunError(str(origins.located(Refusal([*problems, *refusal.problems])))) from None
    if problems:
        raise pulumi.RunError(str(origins.located(Refusal(problems))))
    log_plan(plan, located=origins.located_finding)
    return ConfiguredStack(plan=plan, token=token, api_keys=api_keys)


def log_plan(
    plan: StackPlan,
    resource: pulumi.Resource | None = None,
    *,
    located: Callable[[Finding], Finding] = lambda warning: warning,
) -> None:
    """Logs a plan's warnings and what was decided for each server.

    Args:
        plan: the stack, decided and checked.
        resource: what the messages are about; the stack if None.
        located: adds to a warning where it comes from.

    """
    for warning in plan.warnings:
        pulumi.log.warn(str(located(warning)), resource)
    for planned in plan.servers:
        pulumi.log.info("\n  ".join([f"servers.{planned.key}:", *planned.remarks]), resource)
