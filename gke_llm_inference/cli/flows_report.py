"""Who may talk to the servers of a stack, and whom they may talk to: a table, or the same as JSON."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from gke_llm_inference.planning.access.plan import PickerPlan
from gke_llm_inference.planning.network_policy.flows import AddressPeer, Flow, HostPeer, NodePeer, PodPeer
from gke_llm_inference.planning.plan import ServerPlan, StackPlan
from gke_llm_inference.terminal import printable, wrapped

UNGUARDED = "no policy: every pod of the cluster can call it, and it can call everybody"
"""What is said of a server without a network policy."""
_NOT_KNOWN = (
    "Whether the cluster enforces network policies is not known: with Dataplane V2 it does, without it only where "
    "network policy enforcement is on."
)
_PORTS = 16
_INDENT = "      "


def flows_document(plan: StackPlan, only: str | None = None) -> dict[str, Any]:
    """The flows of a stack as plain data for JSON.

    Args:
        plan: the plan.
        only: name of the one server to report on; all if None.

    """
    return {
        "namespace": plan.namespace,
        "servers": {
            server.key: {
                "policies": list(_policies(server)),
                "enforced": enforced(server),
                "flows": [_flow_document(flow) for flow in server.network_policy.flows]
                if server.network_policy
                else None,
                "picker": _picker_document(plan, server),
            }
            for server in plan.servers
            if only in (None, server.key)
        },
        "modelCopy": None if only else _copy_document(plan),
    }


def flows_text(plan: StackPlan, only: str | None = None) -> str:
    """The flows of a stack as text of the terminal's width."""
    lines: list[str] = []
    for server in plan.servers:
        if only in (None, server.key):
            lines += [*([""] if lines else []), *_server_lines(server), *_picker_lines(plan, server)]
    if not only:
        lines += _copy_lines(plan, first=not lines)
    if not lines:
        lines = ["The stack has no servers."]
    if any(server.network_policy and not server.network_policy.enforced for server in plan.servers):
        lines += ["", *wrapped(_NOT_KNOWN)]
    return "".join(f"{line}\n" for line in lines)


def enforced(server: ServerPlan) -> bool | None:
    """Whether a server's policies are enforced; None where that is not known, false where it has none."""
    policy = server.network_policy
    return False if policy is None else policy.enforced or None


def _policies(server: ServerPlan) -> Iterator[str]:
    """The objects that say so, each as Kind/name."""
    if server.network_policy is not None:
        yield f"NetworkPolicy/{server.name}"
        if server.network_policy.fqdn_spec is not None:
            yield f"FQDNNetworkPolicy/{server.name}"


def _server_lines(server: ServerPlan) -> Iterator[str]:
    if server.network_policy is None:
        yield from wrapped(f"{printable(server.key)}: {UNGUARDED}")
        return
    yield from wrapped(f"{printable(server.key)}: {' and '.join(_policies(server))}; what is not listed is denied")
    yield from _flow_lines(server.network_policy.flows)


def _copy_policies(plan: StackPlan) -> tuple[tuple[str, ...], Sequence[Flow]] | None:
    """The policies of what copies models, and their flows; None where nothing is copied or nothing guards it."""
    copier = plan.model_store.copier if plan.model_store else None
    if copier is None or copier.network_policy is None:
        return None
    named = (f"FQDNNetworkPolicy/{copier.name}",) if copier.network_policy.fqdn_spec else ()
    return (f"NetworkPolicy/{copier.name}", *named), copier.network_policy.flows


def _copy_lines(plan: StackPlan, *, first: bool) -> Iterator[str]:
    found = _copy_policies(plan)
    if found is None:
        return
    if not first:
        yield ""
    yield from wrapped(f"copies of models: {' and '.join(found[0])}; what is not listed is denied")
    yield from _flow_lines(found[1])


def _copy_document(plan: StackPlan) -> dict[str, Any] | None:
    found = _copy_policies(plan)
    return found and {"policies": list(found[0]), "flows": [_flow_document(flow) for flow in found[1]]}


def _picker(plan: StackPlan, server: ServerPlan) -> PickerPlan | None:
    """A server's endpoint picker, where it has one."""
    reached = plan.access.of(server.key)
    return reached.picker if reached else None


def _picker_lines(plan: StackPlan, server: ServerPlan) -> Iterator[str]:
    """The endpoint picker of a server, where a policy guards it."""
    picker = _picker(plan, server)
    if picker is None or picker.network_policy is None:
        return
    yield ""
    yield from wrapped(
        f"{printable(server.key)}, endpoint picker: NetworkPolicy/{picker.name}; what is not listed is denied"
    )
    yield from _flow_lines(picker.network_policy.flows)


def _picker_document(plan: StackPlan, server: ServerPlan) -> dict[str, Any] | None:
    picker = _picker(plan, server)
    if picker is None:
        return None
    policy = picker.network_policy
    return {
        "policies": [f"NetworkPolicy/{picker.name}"] if policy else [],
        "flows": [_flow_document(flow) for flow in policy.flows] if policy else None,
    }


def _flow_lines(flows: Sequence[Flow]) -> Iterator[str]:
    for (direction, feature, why), group in groupby(flows, key=lambda flow: (flow.direction, flow.feature, flow.why)):
        yield from wrapped(f"{direction:<4}{feature}: {why}", first="  ", rest=_INDENT)
        for flow in group:
            ports = ", ".join(map(str, flow.ports))
            yield from wrapped(
                f"{ports:<{_PORTS}} {printable(str(flow.peer))}", first=_INDENT, rest=f"{_INDENT}{'':<{_PORTS}} "
            )


def _flow_document(flow: Flow) -> dict[str, Any]:
    return {
        "direction": flow.direction,
        "feature": flow.feature,
        "why": flow.why,
        "peer": _peer_document(flow),
        "ports": [{"protocol": port.protocol, "port": port.number} for port in flow.ports],
    }


def _peer_document(flow: Flow) -> dict[str, Any]:
    match flow.peer:
        case PodPeer(namespace=namespace, pods=pods):
            return {"namespaceLabels": None if namespace is None else dict(namespace), "podLabels": dict(pods)}
        case AddressPeer(cidr=cidr, without=without):
            return {"cidr": cidr, "except": list(without)}
        case HostPeer(hosts=hosts):
            return {"hosts": list(hosts)}
        case NodePeer():
            return {"node": "own"}
