"""What a change takes away: protection of what is deployed, limits of what pods may do, capacity."""

from collections.abc import Iterator
from typing import Any

from gke_llm_inference.diff.compare import ResourceChange
from gke_llm_inference.diff.severity import Effect, Severity
from gke_llm_inference.diff.values import ABSENT, PropertyChange

_CLUSTER = "gcp:container/cluster:Cluster"
_LOST = "protection lost"
# What a pod may do beyond what it could, by the field that allows it.
_POWERS = {
    "allowPrivilegeEscalation": "its processes may gain privileges",
    "hostIPC": "it shares the memory of its node's processes",
    "hostNetwork": "it is on its node's network",
    "hostPID": "it sees its node's processes",
    "privileged": "it may do anything on its node",
}
_POD_SECURITY = "pod-security.kubernetes.io/enforce"
_STRICTNESS = ("privileged", "baseline", "restricted")
_REMOTE_CODE = "--trust-remote-code"


def lost(change: ResourceChange) -> Iterator[Effect]:
    """What a change of a resource takes away, but for its capacity."""
    told = [effect for one in change.properties for effect in _of_property(change, one)]
    yield from told
    for one in change.options:
        if one.path == ("protect",) and one.old is True and not any(effect.gist == _LOST for effect in told):
            text = "Pulumi's protection is removed: nothing keeps it from being deleted"
            yield Effect(Severity.WEAKENED, text, gist=_LOST)
        elif one.path == ("retainOnDelete",) and one.old is True:
            text = "retainOnDelete is removed: what is deployed is deleted along with the resource"
            yield Effect(Severity.WEAKENED, text, gist=_LOST)


def _of_property(change: ResourceChange, one: PropertyChange) -> Iterator[Effect]:
    last = one.keys[-1] if one.keys else ""
    if last.startswith("deletionProtection") and _protects(change, one.old) and not _protects(change, one.new):
        what = "it, with everything on it" if change.resource.type == _CLUSTER else "it"
        text = f"deletion protection is lost: a destroy, or a change that replaces it, deletes {what}"
        yield Effect(Severity.WEAKENED, text, gist=_LOST)
    elif last == "forceDestroy" and one.new is True:
        yield Effect(Severity.WEAKENED, "deleting it deletes what it holds as well", gist=_LOST)
    elif last in ("reclaimPolicy", "persistentVolumeReclaimPolicy") and one.old == "Retain":
        yield Effect(Severity.WEAKENED, "what its volumes hold is deleted with their claims", gist=_LOST)
    elif last in _POWERS and one.new is True:
        yield Effect(Severity.WEAKENED, _POWERS[last], gist="pods less restricted")
    elif last == "runAsNonRoot" and one.old is True:
        yield Effect(Severity.WEAKENED, "its processes may run as root", gist="pods less restricted")
    elif last == _POD_SECURITY and _strictness(one.new) < _strictness(one.old):
        text = "Kubernetes accepts pods in it that it refused before"
        yield Effect(Severity.WEAKENED, text, gist="pods less restricted")
    elif _REMOTE_CODE in one.path and one.old is ABSENT:
        yield Effect(Severity.WEAKENED, "it runs code from the model's repository", gist="code of a model runs")


def _protects(change: ResourceChange, value: Any) -> bool:
    # The provider protects a cluster that does not say.
    return value is True or (value is ABSENT and change.resource.type == _CLUSTER)


def _strictness(value: Any) -> int:
    """How strict a level is; what is absent is as lax as the laxest, what is not known as strict as the strictest."""
    if value is ABSENT:
        return 0
    return _STRICTNESS.index(value) if value in _STRICTNESS else len(_STRICTNESS)


def scaled(old: Any, new: Any) -> Effect | None:
    """What another number of pods means; None where it is not known or not smaller."""
    before, after = (1 if value is ABSENT else value for value in (old, new))
    if not _is_number(before) or not _is_number(after) or after >= before:
        return None
    if not after:
        text = f"scales from {before} to 0 pods: nothing serves its requests any more"
        return Effect(Severity.STOPPED, text, gist="capacity to zero")
    text = f"scales from {before} to {after} pods: {after / before:.0%} of the capacity is left"
    return Effect(Severity.WEAKENED, text, gist="less capacity")


def pool_bounded(before: int | None, after: int | None, servers: str) -> Effect | None:
    """What another upper bound of a node pool means; None where it is not smaller."""
    if after is None or (before is not None and after >= before):
        return None
    if not after:
        whose = f": pods of {servers} have nowhere to run" if servers else ""
        return Effect(Severity.STOPPED, f"it may have no node any more{whose}", gist="capacity to zero")
    old = "without bound" if before is None else f"{before}"
    return Effect(Severity.WEAKENED, f"it may have at most {after} nodes ({old} before)", gist="less capacity")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
