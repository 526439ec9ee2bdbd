"""A cluster in memory, for tests of the engine that need no API server."""

import base64
import copy
import itertools
import threading
import time
from collections.abc import Mapping
from typing import Any

from local.engine.kubernetes_provider.cluster import ClusterError, Object

_CLUSTER_WIDE = {"Namespace", "Node", "ClusterRole", "ClusterRoleBinding", "StorageClass", "PriorityClass"}


class MemoryCluster:
    """Applies, validates a little, and lets rollouts take `rollout_seconds`."""

    def __init__(self, rollout_seconds: float = 0.0) -> None:
        self.rollout_seconds = rollout_seconds
        self.objects: dict[tuple[str, str, str | None, str], Object] = {}
        self.applied: list[tuple[str, str]] = []
        """Kind and name of everything that was really applied, in order."""
        self.deleted: list[tuple[str, str]] = []
        self.refuse_deletion = threading.Event()
        self.progress_deadline_exceeded = False
        self._bodies: dict[tuple[tuple[str, str, str | None, str], str], Object] = {}
        self._changed: dict[tuple[str, str, str | None, str], float] = {}
        self._versions = itertools.count(1)
        self._lock = threading.RLock()

    def namespaced(self, api_version: str, kind: str) -> bool:
        return kind not in _CLUSTER_WIDE

    def apply(self, body: Object, manager: str, *, dry_run: bool = False, force: bool = False) -> Object:
        key = self._key(body)
        with self._lock:
            namespace = key[2]
            if namespace not in (None, "default") and ("v1", "Namespace", None, namespace) not in self.objects:
                raise ClusterError(f'namespaces "{namespace}" not found', 404)
            old = self.objects.get(key)
            new = copy.deepcopy(old) if old else {}
            _remove(new, self._bodies.get((key, manager), {}), body)
            _merge(new, copy.deepcopy(body))
            metadata = new["metadata"]
            if key[1] == "Secret":
                texts = new.pop("stringData", {})
                new.setdefault("data", {}).update(
                    {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
                )
            managers = {entry["manager"] for entry in metadata.get("managedFields", [])} | {manager}
            metadata["managedFields"] = [{"manager": one, "operation": "Apply"} for one in sorted(managers)]
            metadata.setdefault("uid", f"uid-{next(self._versions)}")
            if old is None or old.get("spec") != new.get("spec"):
                metadata["generation"] = metadata.get("generation", 0) + 1
            if old is not None and _immutable(key, old, new):
                raise ClusterError(f'{key[1]} "{key[3]}" is invalid: field is immutable', 422)
            if not dry_run:
                if old != new:
                    metadata["resourceVersion"] = str(next(self._versions))
                    self._changed[key] = time.monotonic()
                self.objects[key] = new
                self._bodies[key, manager] = copy.deepcopy(body)
                self.applied.append((key[1], key[3]))
            return self._seen(key, new)

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object | None:
        with self._lock:
            found = self.objects.get((api_version, kind, namespace, name))
            return None if found is None else self._seen((api_version, kind, namespace, name), found)

    def select(self, api_version: str, kind: str, namespace: str, selector: Mapping[str, str]) -> list[Object]:
        with self._lock:
            return [
                self._seen(key, found)
                for key, found in sorted(self.objects.items(), key=lambda item: str(item[0]))
                if key[:2] == (api_version, kind)
                and (not namespace or key[2] == namespace)
                and selector.items() <= found["metadata"].get("labels", {}).items()
            ]

    def delete(self, api_version: str, kind: str, namespace: str | None, name: str) -> None:
        with self._lock:
            if self.refuse_deletion.is_set():
                raise ClusterError("deletion is forbidden for now", 403)
            key = (api_version, kind, namespace, name)
            if self.objects.pop(key, None) is not None:
                self.deleted.append((kind, name))
            if kind == "Namespace":
                for below in [one for one in self.objects if one[2] == name]:
                    del self.objects[below]

    def names(self, kind: str) -> list[str]:
        """Names of all objects of a kind, sorted."""
        with self._lock:
            return sorted(key[3] for key in self.objects if key[1] == kind)

    def _key(self, body: Object) -> tuple[str, str, str | None, str]:
        metadata = body["metadata"]
        return body["apiVersion"], body["kind"], metadata.get("namespace"), metadata["name"]

    def _seen(self, key: tuple[str, str, str | None, str], found: Object) -> Object:
        seen = copy.deepcopy(found)
        if key[1] == "Deployment":
            replicas = seen["spec"].get("replicas", 1)
            done = time.monotonic() - self._changed.get(key, 0) >= self.rollout_seconds
            seen["status"] = {
                "observedGeneration": seen["metadata"]["generation"],
                "replicas": replicas,
                "updatedReplicas": replicas,
                "availableReplicas": replicas if done else 0,
                "readyReplicas": replicas if done else 0,
            }
            if self.progress_deadline_exceeded:
                condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
                message = "the progress deadline is exceeded"
                seen["status"] |= {"availableReplicas": 0, "conditions": [{**condition, "message": message}]}
        elif key[1] == "Namespace":
            seen["status"] = {"phase": "Active"}
        return seen


def _immutable(key: tuple[str, str, str | None, str], old: Object, new: Object) -> bool:
    return key[1] == "Deployment" and old["spec"].get("selector") != new["spec"].get("selector")


def _merge(into: Any, new: Any) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _remove(target: Any, old: Any, new: Any) -> None:
    """Takes away what the manager applied before and no longer does."""
    for key, value in old.items():
        if key not in new:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(new[key], dict) and isinstance(target.get(key), dict):
            _remove(target[key], value, new[key])
