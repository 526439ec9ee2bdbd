"""What a resource opens to the internet, in words; what it opens and did not open before is an effect of a change."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.diff.compare import ResourceChange
from gke_llm_inference.diff.severity import Effect, Severity
from gke_llm_inference.diff.wording import listed, quote
from gke_llm_inference.planning.exposure import control_plane_openings, has_public_address, wide_ranges
from gke_llm_inference.preview.recording import Resource

_CLUSTER = "gcp:container/cluster:Cluster"
_INTERNAL = ("networking.gke.io/load-balancer-type", "cloud.google.com/load-balancer-type")
_MORE = "control plane open to more"
_EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})
_BINDINGS = ("enableInsecureBindingSystemAuthenticated", "enableInsecureBindingSystemUnauthenticated")


def opened(change: ResourceChange) -> Iterator[Effect]:
    """What is open after a change and was not before it."""
    if change.head is None:
        return
    before = dict(_openings(change.base)) if change.base is not None else {}
    found = [(text, gist) for text, gist in _openings(change.head) if text not in before]
    yield from (Effect(Severity.OPENED, text, gist=gist) for text, gist in found)
    if change.base is not None and change.head.type == _CLUSTER and not control_plane_openings(change.head.inputs):
        yield from _more_may_try(change.base, change.head)


def _openings(resource: Resource) -> Iterator[tuple[str, str]]:
    """Sentences about everything that is open, each with its gist."""
    inputs = resource.inputs
    match resource.type:
        case "gcp:container/cluster:Cluster":
            for reason in control_plane_openings(inputs):
                yield f"its control plane is open to the internet: {reason}", "control plane open to the internet"
            if _is_off(inputs, "privateClusterConfig", "enablePrivateNodes"):
                yield "its nodes have addresses on the internet", "nodes open to the internet"
            for binding in _BINDINGS:
                if _at(inputs, "rbacBindingConfig", binding) is True:
                    yield f"roles may be given to everybody: {binding}", "control plane less protected"
        case "gcp:container/nodePool:NodePool":
            if _at(inputs, "networkConfig", "enablePrivateNodes") is False:
                yield "its nodes have addresses on the internet", "nodes open to the internet"
        case "kubernetes:core/v1:Service":
            annotations = _at(inputs, "metadata", "annotations")
            kinds = [annotations.get(key) if isinstance(annotations, dict) else None for key in _INTERNAL]
            internal = any(str(kind).lower() == "internal" for kind in kinds)
            if _at(inputs, "spec", "type") == "LoadBalancer" and not internal:
                yield "it can be reached from the internet, by whoever finds its address", "a server on the internet"
        case "kubernetes:gateway.networking.k8s.io/v1:Gateway":
            name = _at(inputs, "spec", "gatewayClassName")
            if isinstance(name, str) and "rilb" not in name and "internal" not in name:
                yield "it can be reached from the internet, for what its routes let through", "a server on the internet"
            listeners = _at(inputs, "spec", "listeners")
            if any(_at(one, "protocol") == "HTTP" for one in (listeners if isinstance(listeners, list) else ())):
                yield "it listens without TLS", "requests in clear"
        case "gcp:compute/firewall:Firewall":
            ranges = _at(inputs, "sourceRanges")
            for one in wide_ranges(ranges if isinstance(ranges, list) else ()):
                yield f"it lets in the internet: {one}", "firewall open to the internet"
    if resource.type.startswith("gcp:"):
        members = _at(inputs, "members")
        for member in [_at(inputs, "member"), *(members if isinstance(members, list) else [])]:
            if member in _EVERYBODY:
                yield f"it grants {quote(inputs.get('role'))} to everybody: {member}", "access for everybody"


def _more_may_try(base: Resource, head: Resource) -> Iterator[Effect]:
    """Ranges that may reach a control plane that not everybody may reach."""
    if not has_public_address(head.inputs):
        return
    if not has_public_address(base.inputs):
        yield Effect(Severity.WEAKENED, "its control plane gets an address outside of its network", gist=_MORE)
    elif control_plane_openings(base.inputs):
        return
    more = sorted({*_ranges(head)} - {*_ranges(base)})
    if more:
        yield Effect(Severity.WEAKENED, f"more may reach its control plane: {listed(more)}", gist=_MORE)


def _ranges(cluster: Resource) -> list[str]:
    blocks = _at(cluster.inputs, "masterAuthorizedNetworksConfig", "cidrBlocks")
    ranges = [_at(block, "cidrBlock") for block in blocks] if isinstance(blocks, list) else []
    return [one for one in ranges if isinstance(one, str)]


def _is_off(value: Any, *keys: str) -> bool:
    """Whether a setting that protects is false, or absent where absent is false."""
    return _at(value, *keys) in (None, False)


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, dict):
            return value
        value = value.get(key)
    return value
