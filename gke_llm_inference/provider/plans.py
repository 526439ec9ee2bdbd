"""From a component's arguments to its plan, with every refusal at the property that it is about."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any

from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.planning.capacity_tiers.asked import needs_class
from gke_llm_inference.planning.plan import ClusterProfile
from gke_llm_inference.provider.arguments import GCP_PROJECT, Component, ServerArguments
from gke_llm_inference.settings import (
    ConfigApiKeys,
    ConfigToken,
    ExistingBootDiskAllowlist,
    ExistingCluster,
    Finding,
    Refusal,
    SecretManagerApiKeys,
    ServerSettings,
    StackAutoscalingSettings,
    StackSettings,
    parse_settings,
    suggestion,
)
from gke_llm_inference.settings.annotations import fields_of
from gke_llm_inference.settings.parse import leaked_secrets, parse_model
from gke_llm_inference.settings.pulumi_keys import TOKEN_KEY
from gke_llm_inference.settings.server_files import with_files

_STACK_PROJECT = "gcp:project"


def stack_plan(raw: Mapping[str, Any], identity: StackIdentity, *, has_token: bool, preview: bool) -> StackPlan:
    """The plan of a whole stack.

    Args:
        raw: the arguments that are settings, as YAML would hold them.
        identity: which stack it is.
        has_token: whether the token was passed.
        preview: whether a missing token is a warning only, so that a stack can be looked at before it has one.

    Raises:
        Refusal: with every problem; paths are properties of the component.

    """
    settings = _with_files(parse_settings(raw))
    problems = []
    from_config = isinstance(settings.hugging_face, ConfigToken)
    if has_token and not from_config:
        problems.append(
            Finding(
                path=TOKEN_KEY,
                what="is set, but huggingFace.tokenSource is not config",
                why="nothing would read it",
                fix="set huggingFace.tokenSource to config, or leave the token out",
            )
        )
    missing = Finding(
        path=TOKEN_KEY,
        what="is missing",
        why="huggingFace.tokenSource is config, so servers that download gated models need it",
        fix="pass the token as a secret",
    )
    if from_config and not has_token and not preview:
        problems.append(missing)
    for key, server in sorted(settings.servers.items()):
        problems += _api_key_problems(f"servers.{key}", server, ConfigApiKeys)
    try:
        plan = plan_stack(settings, identity)
    except Refusal as refusal:
        raise Refusal([*problems, *map(_stack_property, refusal.problems)]) from None
    if problems:
        raise Refusal(problems)
    warned = (replace(missing, severity="warning"),) if from_config and not has_token else ()
    return replace(plan, warnings=tuple(sorted((*map(_stack_property, plan.warnings), *warned))))


def server_plan(raw: Mapping[str, Any], name: str, identity: StackIdentity) -> StackPlan:
    """The plan of a stack that is one server; raises like `stack_plan`.

    Args:
        raw: the arguments that are settings, as YAML would hold them.
        name: of the resource, which becomes the server's.
        identity: which stack it is.

    """
    leaked = list(leaked_secrets(raw))
    if leaked:
        raise Refusal(leaked)
    arguments = parse_model(ServerArguments, raw)
    problems = [
        *_api_key_problems("server", arguments.server, ConfigApiKeys | SecretManagerApiKeys),
        *_exposure_problems(arguments.server),
        *_capacity_problems(arguments.server, arguments.profile),
        *_source_problems(arguments.server),
    ]
    has_disk = arguments.server.secondary_boot_disk is not None
    settings = StackSettings(
        # Only the profile decides anything; the program's Kubernetes provider knows the cluster.
        cluster=ExistingCluster(mode="existing", profile=arguments.profile, kubeconfig_context=name),
        hugging_face=arguments.hugging_face,
        namespace=arguments.namespace,
        create_namespace=False,
        servers={name: arguments.server},
        autoscaling=_scaled(arguments.server),
        # The cluster's list is not a single server's to make.
        boot_disk_allowlist=ExistingBootDiskAllowlist(mode="existing") if has_disk else None,
    )

    def located(finding: Finding) -> Finding:
        prefix = f"servers.{name}"
        if finding.path == prefix or finding.path.startswith(f"{prefix}."):
            return replace(finding, path=f"server{finding.path.removeprefix(prefix)}")
        return replace(finding, path=finding.path.removeprefix("cluster."))

    try:
        plan = plan_stack(_with_files(settings), identity)
    except Refusal as refusal:
        told = {problem.path for problem in problems}
        rest = [one for one in map(located, refusal.problems) if one.path not in told]
        raise Refusal([*problems, *rest]) from None
    if problems:
        raise Refusal(problems)
    return replace(plan, warnings=tuple(map(located, plan.warnings)))


def _scaled(server: ServerSettings) -> StackAutoscalingSettings:
    """What a single server has around it: an adapter that others made, where it is not KEDA that scales it."""
    asked = server.autoscaling
    if asked is None or asked.source not in (None, "adapter") or asked.scale_to_zero is not None:
        return StackAutoscalingSettings()
    return StackAutoscalingSettings(metrics_adapter="existing")


def all_problems(component: Component, unplain: Sequence[Finding], raw: Mapping[str, Any]) -> list[Finding]:
    """Problems of arguments of which some are not plain, without those that a value would have.

    Args:
        component: what the arguments are for.
        unplain: the problems of those that are not plain.
        raw: the arguments as YAML would hold them, with None for each that is not plain.

    """
    settings = {key: raw[key] for key in fields_of(component.settings) if key in raw}
    found = [*argument_problems(component, raw)]
    leaked = list(leaked_secrets(settings))
    try:
        if leaked:
            raise Refusal(leaked)
        parse_model(component.settings, settings)
    except Refusal as refusal:
        found += refusal.problems
    unknown = [_steps(one.path) for one in found if one.what.startswith("is not a known ") and "choice" not in one.what]
    # A key that does not exist need not be plain.
    unplain = [one for one in unplain if not any(_steps(one.path)[: len(path)] == path for path in unknown)]
    without_value = [_steps(one.path) for one in unplain]

    def is_about_none(path: list[str]) -> bool:
        return any(steps[: len(path)] == path for steps in without_value)

    return [*unplain, *(one for one in found if not is_about_none(_steps(one.path)))]


def _steps(path: str) -> list[str]:
    """The parts of a path, whether keys with dots are in quotes or not."""
    return [step for step in re.split(r'[.\[\]"]+', path) if step]


def argument_problems(component: Component, raw: Mapping[str, Any]) -> list[Finding]:
    """Problems of arguments that are not settings: those that the component does not have, and mistyped ones."""
    known = [*fields_of(component.settings), *(argument.name for argument in component.others)]
    problems = [
        Finding(
            path=name,
            what="is not a known argument",
            why="a misspelled argument would be ignored silently",
            fix=suggestion(name, known),
        )
        for name in sorted(raw)
        if name not in known
    ]
    if not isinstance(raw.get(GCP_PROJECT, ""), str):
        problems.append(
            Finding(path=GCP_PROJECT, what="is not text", why="ids of projects are text", fix="write the project's id")
        )
    return problems


def _api_key_problems(path: str, server: ServerSettings, unsupported: type | UnionType) -> list[Finding]:
    """Sources of API keys that a component does not have."""
    if not isinstance(server.api_keys, unsupported):
        return []
    return [
        Finding(
            path=f"{path}.apiKeys.source",
            what=f"{server.api_keys.source} is for stack files",
            why="this component does not make the Secret with the keys",
            fix="make a Secret in the namespace and use existingSecret",
        )
    ]


def _exposure_problems(server: ServerSettings) -> list[Finding]:
    """A single server is put before no load balancer."""
    if server.exposure in (None, "none"):
        return []
    return [
        Finding(
            path="server.exposure",
            what=f"{server.exposure} needs a whole stack",
            why="load balancers are a stack's, and this component makes one server only",
            fix="use InferenceStack, or put a load balancer of your own before the Service",
        )
    ]


def _capacity_problems(server: ServerSettings, profile: ClusterProfile) -> list[Finding]:
    """A single server has no compute class made for it."""
    if not needs_class(server, profile):
        return []
    return [
        Finding(
            path="server.capacity",
            what="needs a whole stack",
            why="a compute class is of the whole cluster, and this component makes one server only",
            fix="use InferenceStack, or one tier that says no more than its model",
        )
    ]


def _source_problems(server: ServerSettings) -> list[Finding]:
    """A single server has no store made for it."""
    if server.store_source is None:
        return []
    return [
        Finding(
            path="server.modelSource",
            what="needs a whole stack",
            why="a store of models is a stack's, and this component makes one server only",
            fix="use InferenceStack, or modelVolume with a claim of your own",
        )
    ]


def _stack_property(finding: Finding) -> Finding:
    if finding.path != _STACK_PROJECT:
        return finding
    return replace(finding, path=GCP_PROJECT, fix=f"{finding.fix}, or set {GCP_PROJECT}")


def _with_files(settings: StackSettings) -> StackSettings:
    """Settings with what files say; only absolute paths, as the program's directory is not known."""
    relative = [
        Finding(
            path=f"servers.{name}.{key}",
            what="is a relative path",
            why="a provider does not know the program's directory",
            fix=fix,
        )
        for name, server in settings.servers.items()
        for key, file, fix in (
            ("configFile", server.config_file, "use an absolute path, or give the numbers under architecture"),
            ("calibration", server.calibration, "use an absolute path"),
        )
        if file is not None and not Path(file).is_absolute()
    ]
    if relative:
        raise Refusal(relative)
    return with_files(settings, Path("/"))
