"""Events of GKE's autoscaler, in its words. Pure."""

import datetime
from collections.abc import Mapping
from typing import Any

_COMPONENT = "cluster-autoscaler"


def triggered(pod: Mapping[str, Any], what: str, wall: float) -> dict[str, Any]:
    """A node is added for the pod."""
    return _event(pod, "TriggeredScaleUp", f"pod triggered scale-up: {what}", wall)


def not_triggered(pod: Mapping[str, Any], why: str, wall: float) -> dict[str, Any]:
    """None is."""
    return _event(pod, "NotTriggerScaleUp", f"pod didn't trigger scale-up: {why}", wall)


def _event(pod: Mapping[str, Any], reason: str, message: str, wall: float) -> dict[str, Any]:
    metadata = pod["metadata"]
    time = datetime.datetime.fromtimestamp(wall, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "type": "Normal",
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "source": {"component": _COMPONENT},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }
