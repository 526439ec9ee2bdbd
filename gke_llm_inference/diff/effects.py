"""What changes cause, in words: what is replaced and goes down, which pods restart and how, what is not known."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog.kubernetes_names import GPU_RESOURCE
from gke_llm_inference.diff.compare import Comparison, ResourceChange
from gke_llm_inference.diff.losses import lost, pool_bounded, scaled
from gke_llm_inference.diff.openings import opened
from gke_llm_inference.diff.other_names import NODE_POOL, OtherNames, service_url
from gke_llm_inference.diff.plans import ServerFacts, StackFacts
from gke_llm_inference.diff.replacement import Replacements, Verdict, replacements, verdict
from gke_llm_inference.diff.severity import Effect, Severity
from gke_llm_inference.diff.values import ABSENT
from gke_llm_inference.diff.wording import listed, minutes, quote
from gke_llm_inference.preview.recording import Recording, Resource

CLUSTER = "gcp:container/cluster:Cluster"
_NAMESPACE = "kubernetes:core/v1:Namespace"
_SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 - a type token
_CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
_SERVICE = "kubernetes:core/v1:Service"
_CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
_DEPLOYMENT = "kubernetes:apps/v1:Deployment"
_WORKLOADS = frozenset({_DEPLOYMENT, "kubernetes:apps/v1:StatefulSet", "kubernetes:apps/v1:DaemonSet"})
_GRANTS = frozenset({"gcp:projects/iAMMember:IAMMember", "gcp:secretmanager/secretIamMember:SecretIamMember"})
_KUBERNETES_PROVIDER = "pulumi:providers:kubernetes"


@dataclass(frozen=True)
class Effects:
    """The effects of a comparison's changes, by URN of the changed resource, the most severe first."""

    by_urn: dict[str, tuple[Effect, ...]]
    replaced: frozenset[str]
    """Everything that is replaced, also what only follows."""

    def of(self, change: ResourceChange) -> tuple[Effect, ...]:
        """Those of one change."""
        return self.by_urn.get(change.resource.urn, ())

    def is_replaced(self, change: ResourceChange) -> bool:
        """Whether a change replaces its resource."""
        return change.action in ("changed", "renamed") and change.resource.urn in self.replaced

    def restarts(self, change: ResourceChange) -> bool:
        """Whether a change restarts pods."""
        return any(effect.severity is Severity.RESTARTS for effect in self.of(change))


def effects_of(comparison: Comparison, head: Recording, plan: StackFacts) -> Effects:
    """The effects of all changes.

    Args:
        comparison: the changes.
        head: the newer recording, in which the changed resources are related to others.
        plan: the newer plan, for how long servers take to start; empty if there is none.

    """
    replaced = replacements(comparison, head)
    context = _Context(head, plan, replaced, OtherNames(comparison))
    by_urn: dict[str, tuple[Effect, ...]] = {}
    for change in comparison.resources:
        found = sorted(context.effects(change), key=lambda effect: -effect.severity)
        if found:
            by_urn[change.resource.urn] = tuple(found)
    return Effects(by_urn, frozenset({*replaced.direct, *replaced.following}))


class _Context:
    def __init__(self, head: Recording, plan: StackFacts, replaced: Replacements, names: OtherNames) -> None:
        self._head = head
        self._plan = plan
        self._replaced = replaced
        self._names = names
        self._by_urn = {resource.urn: resource for resource in head.resources}

    def effects(self, change: ResourceChange) -> Iterator[Effect]:
        if not change.resource.custom:
            return
        yield from self._names.of(change)
        yield from opened(change)
        if change.head is None:
            yield from self._removed(change)
            return
        if change.base is None:
            return
        yield from self._options(change)
        yield from lost(change)
        replaced = change.head.urn in self._replaced.direct
        if replaced:
            yield Effect(Severity.REPLACED, self._replacement(change), down=self._goes_down(change))
        elif change.head.type in _WORKLOADS:
            yield from self._workload(change)
        elif change.head.type == NODE_POOL:
            yield from self._node_pool(change)
        if change.head.type in (_SECRET, _CONFIG_MAP) and change.properties:
            yield Effect(Severity.NOTE, "pods that run keep the old content until they restart")
        if not replaced:
            unclear = [one.text for one in change.properties if verdict(change, one) is Verdict.UNCLEAR]
            if unclear and not change.head.is_provider:
                yield Effect(Severity.UNCLEAR, f"whether Pulumi replaces it for {listed(unclear)} is not known")
        if change.head.type == _KUBERNETES_PROVIDER and any(
            "clusterIdentifier" in one.path for one in change.properties
        ):
            yield Effect(
                Severity.REPLACED, "another cluster: every Kubernetes object of the stack is created again on it"
            )
        ignored = [one.text for one in change.properties if verdict(change, one) is Verdict.IGNORED]
        if ignored:
            yield Effect(Severity.NOTE, f"ignoreChanges keeps {listed(ignored)} as deployed")
        if not change.properties and change.options:
            yield Effect(Severity.NOTE, "only options of Pulumi change")
        if change.action == "renamed" and not replaced:
            yield Effect(Severity.NOTE, "only its name in Pulumi's state changes: what is deployed stays")

    def _removed(self, change: ResourceChange) -> Iterator[Effect]:
        resource = change.resource
        if resource.options.get("retainOnDelete"):
            yield Effect(Severity.NOTE, "is removed from Pulumi's state only: retainOnDelete keeps what is deployed")
            return
        text = {
            CLUSTER: "the cluster is deleted, and everything on it",
            NODE_POOL: "its nodes are deleted, and the pods on them are evicted",
            _NAMESPACE: "is deleted, and every object in it",
            _CLAIM: "is deleted; what it holds may be lost",
        }.get(resource.type, "its pods stop" if resource.type in _WORKLOADS else "is deleted")
        yield Effect(Severity.REMOVED, text + _protection(resource))

    def _options(self, change: ResourceChange) -> Iterator[Effect]:
        for one in change.options:
            if one.path == ("protect",) and not one.old:
                yield Effect(Severity.NOTE, "Pulumi's protection is added")
            elif one.path == ("provider",):
                yield Effect(
                    Severity.UNCLEAR, "another provider: Pulumi replaces it unless both reach the same cluster"
                )

    def _goes_down(self, change: ResourceChange) -> bool:
        """Whether a replacement takes servers down for a while."""
        resource = change.resource
        if resource.type == NODE_POOL:
            return bool(self._servers_on(resource))
        return resource.type in (CLUSTER, _NAMESPACE) or (resource.type in _WORKLOADS and _deleted_first(change))

    def _replacement(self, change: ResourceChange) -> str:
        resource = change.head
        assert resource is not None
        assert change.base is not None
        causes = listed([one.text for one in self._replaced.direct[resource.urn]])
        if self._replaced.direct[resource.urn] == change.properties:
            causes = "this"  # the line names it
        first = _deleted_first(change) or self._cluster_goes(resource)
        how = "deleted, then created again" if first else "created before the old one is deleted"
        text = f"is replaced, as {causes} cannot be changed in place: {how}"
        if resource.type == CLUSTER:
            servers = sorted(one.name for one in self._head.resources if one.type == _DEPLOYMENT)
            down = f"; {listed(servers)} down until then" if servers else ""
            text += f". Everything on the cluster is gone until it is deployed again{down}"
        elif resource.type == NODE_POOL:
            text += ". " + self._pool_replacement(resource, first=first)
        elif resource.type == _NAMESPACE:
            text += ". Every object in it is deleted with it"
        elif resource.type in _WORKLOADS:
            text += ". Its pods are down meanwhile" + self._until_ready(resource, new_node=False) if first else ""
        elif resource.type in (_SECRET, _CONFIG_MAP):
            text += ". A pod that starts in between waits for it"
        elif resource.type == _SERVICE:
            text += ". Clients cannot reach it meanwhile" + _other_url(change)
        elif resource.type == _CLAIM:
            text += ". What it holds may be lost"
        elif resource.type in _GRANTS:
            text += ". One grant is revoked, another one made"
        followers = self._replaced.followers(resource.urn)
        if followers:
            text += f". Replaced along with it: {listed([self._by_urn[urn].name for urn in followers])}"
        return text + _protection(change.base)

    def _cluster_goes(self, pool: Resource) -> bool:
        """Whether a pool's cluster is replaced too: of one name, so the old one goes first, and its pools before it."""
        owners = pool.property_dependencies.get("cluster", ()) if pool.type == NODE_POOL else ()
        return any(urn in self._replaced.direct or urn in self._replaced.following for urn in owners)

    def _pool_replacement(self, pool: Resource, *, first: bool) -> str:
        gpus, kind = _gpus_per_node(pool)
        servers = self._servers_on(pool)
        named = listed([server.name for server in servers])
        if first:
            text = "Its nodes are deleted first"
            if servers:
                text += f": {named} down until new nodes are there" + self._until_ready(servers[0], new_node=False)
            return text
        nodes = _node_bounds(pool)
        needed = "Nodes of both are paid for while they run side by side"
        if gpus:
            fewest, most = nodes
            count = f"{fewest * gpus} to {most * gpus}" if most not in (None, fewest) else f"{fewest * gpus}"
            needed = f"While both exist, a second set of GPUs is needed: quota for {count} more {quote(kind)}"
            needed += "; with deleteBeforeReplace, the old pool is deleted first"
        if servers:
            needed += f". Then its pods move ({named}): each is down until it is ready elsewhere"
            needed += self._until_ready(servers[0], new_node=False)
        return needed

    def _node_pool(self, change: ResourceChange) -> Iterator[Effect]:
        assert change.base is not None
        assert change.head is not None
        if _is_bounded(change.head):
            named = listed([server.name for server in self._servers_on(change.head)])
            before, after = (_node_bounds(pool)[1] for pool in (change.base, change.head))
            fewer = pool_bounded(before, after, named)
            if fewer is not None:
                yield fewer
        rolling = [one.text for one in change.properties if verdict(change, one) is Verdict.ROLLING]
        if not rolling:
            return
        upgrade = change.head.inputs.get("upgradeSettings")
        how = ""
        if isinstance(upgrade, dict):
            surge, unavailable = upgrade.get("maxSurge"), upgrade.get("maxUnavailable")
            how = f" (maxSurge {quote(surge)}, maxUnavailable {quote(unavailable)})" if surge is not None else ""
        servers = listed([server.name for server in self._servers_on(change.head)])
        pods = f": pods of {servers} restart as their nodes are drained" if servers else ""
        yield Effect(Severity.RESTARTS, f"GKE recreates its nodes for {listed(rolling)}{how}{pods}")

    def _workload(self, change: ResourceChange) -> Iterator[Effect]:
        assert change.head is not None
        head = change.head
        spec = _mapping(head.inputs.get("spec"))
        restarts = any(
            one.keys[:2] == ("spec", "template") or (len(one.keys) < 2 and one.keys[:1] in ((), ("spec",)))
            for one in change.properties
            if verdict(change, one) is not Verdict.IGNORED
        )
        for one in change.properties:
            if one.path == ("spec", "replicas") and verdict(change, one) is not Verdict.IGNORED:
                fewer = scaled(one.old, one.new)
                if fewer is not None:
                    yield fewer
                    continue
                stays = "" if restarts else "; the pods that run stay" if _more(one.old, one.new) else ""
                yield Effect(Severity.NOTE, f"scales from {_plain(one.old)} to {_plain(one.new)} pods{stays}")
        if restarts:
            new_node = any("nodeSelector" in one.path or GPU_RESOURCE in one.path for one in change.properties)
            image = any(one.path[-1:] == ("image",) for one in change.properties)
            ready = self._until_ready(head, new_node=new_node, image=image or new_node)
            yield _restart(head.type, {**self._least(head), **spec}, ready)

    def _least(self, workload: Resource) -> dict[str, int]:
        """The fewest pods of a server whose number follows its load, in place of the number that it does not state."""
        server = self._server_of(workload)
        least = None if server is None else server.least_replicas
        return {} if least is None else {"replicas": max(1, least)}

    def _until_ready(self, workload: Resource, *, new_node: bool, image: bool = True) -> str:
        """How long a pod of a server takes to its first answer, as far as the plan knows."""
        server = self._server_of(workload)
        if server is None or server.start_seconds is None:
            return ""
        seconds = server.start_seconds + (server.image_seconds or 0 if image else 0)
        node = " once its node is there" if new_node else ""
        return f", about {minutes(seconds)}{node}"

    def _server_of(self, workload: Resource) -> ServerFacts | None:
        parent = self._by_urn.get(workload.parent or "")
        return self._plan.server_named(parent.name) if parent is not None else None

    def _servers_on(self, pool: Resource) -> list[Resource]:
        """Workloads whose pods ask for nodes with one of the pool's own labels, sorted by name."""
        labels = _mapping(_mapping(pool.inputs.get("nodeConfig")).get("labels")).items()
        found = []
        for resource in self._head.resources:
            if resource.type in _WORKLOADS:
                template = _mapping(_mapping(resource.inputs.get("spec")).get("template"))
                selector = _mapping(_mapping(template.get("spec")).get("nodeSelector")).items()
                if any(label in selector for label in labels):
                    found.append(resource)
        return sorted(found, key=lambda resource: resource.name)


def _restart(type_: str, spec: dict[str, Any], ready: str) -> Effect:
    replicas = spec.get("replicas", 1)
    if replicas == 0:
        return Effect(Severity.NOTE, "changes the pod template; no pod runs (replicas is 0)")
    if type_ != _DEPLOYMENT:
        return Effect(Severity.RESTARTS, "restarts its pods one after another")
    strategy = _mapping(spec.get("strategy"))
    rolling = _mapping(strategy.get("rollingUpdate"))
    surge, unavailable = rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%")
    recreate = strategy.get("type") == "Recreate"
    if recreate or (isinstance(replicas, int) and isinstance(unavailable, int) and unavailable >= replicas):
        pods = "its pod" if replicas == 1 else f"all {quote(replicas)} pods"
        text = f"restarts {pods}{' (Recreate)' if recreate else ''}: down until the new one is ready{ready}"
        return Effect(Severity.RESTARTS, text, down=True)
    if unavailable == 0:
        text = f"restarts its pods without downtime: {quote(surge)} more at a time, ready{ready or ' in its turn'}"
        return Effect(Severity.RESTARTS, text)
    if isinstance(replicas, int) and isinstance(unavailable, int):
        left = replicas - unavailable
        turn = f"{left} of {replicas} serve meanwhile, each new one ready{ready}"
        return Effect(Severity.RESTARTS, f"restarts its pods {unavailable} at a time: {turn}")
    text = f"restarts its pods a few at a time (maxSurge {quote(surge)}, maxUnavailable {quote(unavailable)}){ready}"
    return Effect(Severity.RESTARTS, text)


def _deleted_first(change: ResourceChange) -> bool:
    """Whether the old one is deleted before the new one is created: by option, or as both have the same fixed name."""
    assert change.base is not None
    assert change.head is not None
    option = change.head.options.get("deleteBeforeReplace")
    if isinstance(option, bool):
        return option
    if change.head.type.startswith("kubernetes:"):
        before, after = (_mapping(one.inputs.get("metadata")) for one in (change.base, change.head))
        return "name" in after and all(before.get(key) == after.get(key) for key in ("name", "namespace"))
    return "name" in change.head.inputs and change.base.inputs.get("name") == change.head.inputs["name"]


def _protection(resource: Resource) -> str:
    """What prevents deleting a resource as it was."""
    if resource.type == CLUSTER and resource.inputs.get("deletionProtection", True) is not False:
        refused = "Pulumi refuses to" if resource.protect else "pulumi up fails"
        return f". Deletion protection is on: {refused} until deletionProtection: false is deployed"
    if resource.protect:
        return ". Pulumi refuses to, as it is protected"
    return ""


def _other_url(change: ResourceChange) -> str:
    """That a Service has another address, where it has."""
    urls = []
    for resource in (change.base, change.head):
        assert resource is not None
        ports = _mapping(resource.inputs.get("spec")).get("ports")
        urls.append(service_url(_mapping(resource.inputs.get("metadata")), ports))
    before, after = urls
    if not before or not after or before == after:
        return ""
    return f". Its URL changes from {quote(before)} to {quote(after)}"


def _gpus_per_node(pool: Resource) -> tuple[int, str]:
    accelerators = _mapping(pool.inputs.get("nodeConfig")).get("guestAccelerators")
    if not isinstance(accelerators, list) or not accelerators:
        return 0, ""
    first = _mapping(accelerators[0])
    count = first.get("count")
    return (count if isinstance(count, int) else 1), str(first.get("type", "GPUs"))


def _node_bounds(pool: Resource) -> tuple[int, int | None]:
    """Fewest and most nodes of a pool; None where there is no bound."""
    scaling = _mapping(pool.inputs.get("autoscaling"))
    zones = pool.inputs.get("nodeLocations")
    per_zone = len(zones) if isinstance(zones, list) and zones else 1
    for prefix, times in (("total", 1), ("", per_zone)):
        names = ("totalMinNodeCount", "totalMaxNodeCount") if prefix else ("minNodeCount", "maxNodeCount")
        fewest, most = (scaling.get(name) for name in names)
        if isinstance(most, int):
            return (fewest if isinstance(fewest, int) else 0) * times, most * times
    count = pool.inputs.get("nodeCount")
    return (count * per_zone, count * per_zone) if isinstance(count, int) else (0, None)


def _is_bounded(pool: Resource) -> bool:
    """Whether an upper bound of its nodes is known."""
    return _node_bounds(pool)[1] is not None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _more(old: Any, new: Any) -> bool:
    return isinstance(old, int) and isinstance(new, int) and new > old


def _plain(value: Any) -> str:
    return "the default" if value is ABSENT else quote(value)
