"""Whether one environment keeps at least the security of another, as far as settings decide on it.

What every stack gets alike is not compared: private nodes, Workload Identity, shielded nodes, an identity of the
nodes' own and the control plane's DNS name with IAM cannot be turned off by a setting.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from pydantic.alias_generators import to_camel

from gke_llm_inference.settings import access_security, observability_security, pod_security
from gke_llm_inference.settings.cluster import AuthorizedNetwork, AutopilotCluster, ExistingCluster, StandardCluster
from gke_llm_inference.settings.findings import Finding
from gke_llm_inference.settings.hugging_face import NoToken
from gke_llm_inference.settings.model_store import is_commit
from gke_llm_inference.settings.network_policy import ServerNetworkPolicySettings, policy_of
from gke_llm_inference.settings.servers import ServerSettings, VllmSettings
from gke_llm_inference.settings.stack import StackSettings

_TOKEN_SOURCES = ("config", "existingSecret", "secretManager")
"""Weakest first: in Pulumi's state and a Secret; in a Secret; with access, rotation and audit by IAM."""
_Made = AutopilotCluster | StandardCluster
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_REMOTE_CODE = "--trust-remote-code"
# TGI's launcher reads its flags from variables too.
_REMOTE_CODE_VARIABLE = "TRUST_REMOTE_CODE"


def weaker_settings(settings: StackSettings, *, name: str, than: StackSettings, than_name: str) -> list[Finding]:
    """A finding for every setting in which a stack is weaker than another, sorted by path.

    Args:
        settings: settings of the stack that must be at least as strong.
        name: its name.
        than: settings of the stack that it is held against.
        than_name: that stack's name.

    """
    return sorted(finding for rule in _RULES for finding in rule(settings, than, name, than_name))


def _cluster(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    if isinstance(settings.cluster, ExistingCluster) and not isinstance(than.cluster, ExistingCluster):
        yield Finding(
            path="cluster.mode",
            what=f"is existing in {name}, while {other} makes its cluster",
            why="the configuration does not say whether its nodes are private and shielded, with Workload Identity",
            fix=f"let {name} make its cluster, or let {other} use one that is made the same way",
        )


def _both_made(settings: StackSettings, than: StackSettings) -> tuple[_Made, _Made] | None:
    """The clusters of both, where each stack makes its own."""
    if isinstance(settings.cluster, ExistingCluster) or isinstance(than.cluster, ExistingCluster):
        return None
    return settings.cluster, than.cluster


def _deletion_protection(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    made = _both_made(settings, than)
    if made is None:
        return
    ours, theirs = made
    if theirs.deletion_protection and not ours.deletion_protection:
        yield Finding(
            path="cluster.deletionProtection",
            what=f"is off in {name} and on in {other}",
            why="a mistaken destroy or replacement takes the cluster with everything on it",
            fix=f"remove deletionProtection: false from {name}",
        )


def _authorized_networks(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    made = _both_made(settings, than)
    if made is None:
        return
    ours, theirs = made
    allowed = _ranges(theirs.authorized_networks)
    for index, entry in enumerate(ours.authorized_networks):
        if not any(ipaddress.IPv4Network(entry.cidr).subnet_of(wider) for wider in allowed):
            yield Finding(
                path=f"cluster.authorizedNetworks[{index}]",
                what=f"{entry.cidr} may reach the control plane of {name}, but not that of {other}",
                why="every address that reaches the control plane can try stolen credentials and new exploits on it"
                if allowed
                else f"the control plane of {other} has no address at all, only a DNS name guarded by IAM",
                fix=f"remove the range from {name}, or narrow it to ranges of {other}",
            )


def _database_encryption(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    made = _both_made(settings, than)
    if made is None:
        return
    ours, theirs = made
    if theirs.database_encryption and not ours.database_encryption:
        yield Finding(
            path="cluster.databaseEncryption",
            what=f"has a key in {other}, but none in {name}",
            why="Secrets are then encrypted by Google alone, with no key that you could take away",
            fix=f"give {name} a key of its own",
        )


def _token_source(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    if isinstance(settings.hugging_face, NoToken) or isinstance(than.hugging_face, NoToken):
        return
    source, reference = settings.hugging_face.token_source, than.hugging_face.token_source
    if _TOKEN_SOURCES.index(source) < _TOKEN_SOURCES.index(reference):
        yield Finding(
            path="huggingFace.tokenSource",
            what=f"is {source} in {name} and {reference} in {other}",
            why="from weak to strong: config keeps the token in Pulumi's state too, existingSecret in the cluster "
            "alone, secretManager behind IAM with versions and an audit log",
            fix=f"use {reference} in {name}",
        )


def _pod_security(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    if than.create_namespace and not settings.create_namespace:
        yield Finding(
            path="createNamespace",
            what=f"is off in {name} and on in {other}",
            why="the namespace that a stack makes enforces the baseline Pod Security Standard; what "
            "another one enforces is not in the configuration",
            fix=f"remove createNamespace: false from {name}",
        )


def _network_policy(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterable[Finding]:
    return dict.fromkeys(_network_policies(settings, than, name, other))


def _network_policies(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    for key, server in settings.servers.items():
        counterpart = than.servers.get(key)
        ours = policy_of(settings.network_policy, server.network_policy)
        theirs = policy_of(than.network_policy, counterpart.network_policy if counterpart else None)

        def path(field: str, key: str = key, own: ServerNetworkPolicySettings | None = server.network_policy) -> str:
            """Where a server's field is stated."""
            prefix = f"servers.{key}." if own is not None and getattr(own, field) is not None else ""
            return f"{prefix}networkPolicy.{to_camel(field)}"

        if theirs.enabled and not ours.enabled:
            yield Finding(
                path=path("enabled"),
                what=f"is off in {name} and on in {other}",
                why="every pod of the cluster can call a server without one, and such a server can call everybody",
                fix=f"remove enabled: false from {name}",
            )
        if not (theirs.enabled and ours.enabled):
            continue
        for index, peer in enumerate(ours.callers):
            if peer not in theirs.callers:
                yield Finding(
                    path=path("allow_from") + ("" if ours.allow_from is None else f"[{index}]"),
                    what=f"lets in pods of the namespace in {name}, but not in {other}"
                    if ours.allow_from is None
                    else f"may call a server in {name}, but not in {other}",
                    why="whoever reaches a server can use its GPUs",
                    fix=f"use allowFrom of {other} in {name}",
                )
        for index, destination in enumerate(ours.allow_to):
            if destination not in theirs.allow_to:
                yield Finding(
                    path=f"{path('allow_to')}[{index}]",
                    what=f"may be called by a server in {name}, but not in {other}",
                    why="a server that was broken into reaches more there",
                    fix=f"remove it from {name}, or try it in {other} first",
                )


def _remote_code(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    if any(_runs_remote_code(server) for server in than.servers.values()):
        return
    for key, server in settings.servers.items():
        if _runs_remote_code(server):
            yield Finding(
                path=f"servers.{key}.{'extraEnv' if _REMOTE_CODE_VARIABLE in server.extra_env else 'extraArgs'}",
                what=f"has {_REMOTE_CODE} in {name}, while no server of {other} has",
                why="the server runs Python code from the model's repository, with the token at hand",
                fix=f"remove it from {name}, or try it in {other} first",
            )


def _pinned_images(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    for key, server, reference in _same_servers(settings, than):
        if _DIGEST.search(reference.image or "") and not _DIGEST.search(server.image or ""):
            yield Finding(
                path=f"servers.{key}.image",
                what=f"has a digest in {other}, but none in {name}",
                why="a tag can be moved to another image, a digest cannot",
                fix=f"use the image of {other} in {name}",
            )


def _image_digests(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    if than.image_digests and not settings.image_digests:
        yield Finding(
            path="imageDigests",
            what=f"are recorded in {other}, but not in {name}",
            why="a tag can be moved to another image, a digest cannot",
            fix=f"gke-llm-inference images --stack {name} --record",
        )


def _pinned_models(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    for key, server, reference in _same_servers(settings, than):
        if is_commit(_revision(reference, than)) and not is_commit(_revision(server, settings)):
            yield Finding(
                path=f"servers.{key}.revision",
                what=f"is a commit in {other}, but not in {name}",
                why="a branch or tag of a model's repository can come to hold other weights and code, a commit cannot",
                fix=f"use the revision of {other} in {name}, or record one: "
                f"gke-llm-inference models --stack {name} --record",
            )


def _kept_code(settings: StackSettings, than: StackSettings, name: str, other: str) -> Iterator[Finding]:
    if any(_keeps_code(server) for server in than.servers.values()):
        return
    for key, server in settings.servers.items():
        if _keeps_code(server):
            yield Finding(
                path=f"servers.{key}.keepCompileCache",
                what=f"keeps compiled code in {name}, while no server of {other} does",
                why="vLLM runs what it finds there unchecked: a pod that was broken into leaves code to later ones",
                fix=f"remove it from {name}, or try it in {other} first",
            )


def _revision(server: ServerSettings, settings: StackSettings) -> str:
    return server.revision or settings.model_revisions.get(server.model, "")


_RULES: tuple[Callable[[StackSettings, StackSettings, str, str], Iterable[Finding]], ...] = (
    _cluster,
    _deletion_protection,
    _authorized_networks,
    _database_encryption,
    _token_source,
    _pod_security,
    _network_policy,
    _remote_code,
    _kept_code,
    _pinned_images,
    _image_digests,
    _pinned_models,
    access_security.exposure_of_servers,
    access_security.encryption,
    access_security.api_keys,
    access_security.routes,
    access_security.rate_limit,
    pod_security.pod_containers,
    pod_security.pod_patches,
    pod_security.pod_secrets,
    pod_security.runtime_class,
    observability_security.alerts,
    observability_security.traces,
)


def _ranges(networks: Iterable[AuthorizedNetwork]) -> list[ipaddress.IPv4Network]:
    return list(ipaddress.collapse_addresses(ipaddress.IPv4Network(entry.cidr) for entry in networks))


def _keeps_code(server: ServerSettings) -> bool:
    return isinstance(server, VllmSettings) and server.keep_compile_cache is not None


def _runs_remote_code(server: ServerSettings) -> bool:
    flags = {argument.partition("=")[0].replace("_", "-") for argument in server.extra_args}
    return _REMOTE_CODE in flags or _REMOTE_CODE_VARIABLE in server.extra_env


def _same_servers(settings: StackSettings, than: StackSettings) -> Iterator[tuple[str, ServerSettings, ServerSettings]]:
    """Servers that both stacks have, by name."""
    ours: Mapping[str, ServerSettings] = settings.servers
    for key in sorted(ours.keys() & than.servers.keys()):
        yield key, ours[key], than.servers[key]
