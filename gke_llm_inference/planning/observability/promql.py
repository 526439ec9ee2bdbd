"""Parts of PromQL, as text. Names and values come from plans; everything that could end a string is escaped."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_POD_SUFFIX = "[a-z0-9]{1,10}-[a-z0-9]{5}"
_LONGEST_WITH_HASH = 46
_LONGEST_BASE = 58
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose series are meant: those of one server in one cluster.

    Attributes:
        namespace: namespace of its pods.
        job: name of its PodMonitoring.
        project: the Google Cloud project; any if None.
        location: location of the cluster; any if None.
        cluster: name of the cluster; any if None.
        grouped: whether its pods are groups rather than those of a Deployment.

    """

    namespace: str
    job: str
    project: str | None = None
    location: str | None = None
    cluster: str | None = None
    grouped: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """The labels of series that Managed Service for Prometheus collected."""
        where = {"project_id": self.project, "location": self.location, "cluster": self.cluster}
        known = {name: value for name, value in where.items() if value is not None}
        return {**known, "namespace": self.namespace, "job": self.job}

    def of(self, name: str, range_seconds: int | None = None) -> str:
        """The series of a metric, or what they were in the last seconds."""
        return _selector(name, self.labels) + (f"[{duration(range_seconds)}]" if range_seconds else "")

    def restarts(self, container: str, range_seconds: int) -> str:
        """GKE's own count of restarts of a container of the server's pods, in the last seconds."""
        where = {"project_id": self.project, "location": self.location, "cluster_name": self.cluster}
        labels = {
            "monitored_resource": "k8s_container",
            **{name: value for name, value in where.items() if value is not None},
            "namespace_name": self.namespace,
            "container_name": container,
        }
        pods = pods_of_groups(self.job) if self.grouped else pods_of(self.job)
        matchers = [*_matchers(labels), f'pod_name=~"{escaped(pods)}"']
        return f"kubernetes_io:container_restart_count{{{','.join(matchers)}}}[{duration(range_seconds)}]"


def escaped(text: str) -> str:
    """Text within double quotes."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def duration(seconds: int) -> str:
    """A duration in the largest unit that has no remainder."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def number(value: float) -> str:
    """A number without needless digits."""
    return f"{value:.10g}"


def quantile(percentile: float, buckets: str) -> str:
    """A percentile of a histogram, from the series of its buckets with their range."""
    return f"histogram_quantile({number(percentile / 100)}, sum by (le) (rate({buckets})))"


def _selector(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(_matchers(labels))}}}"


def _matchers(labels: Mapping[str, str]) -> list[str]:
    return [f'{name}="{escaped(value)}"' for name, value in labels.items()]


def pods_of_groups(name: str) -> str:
    """What the names of the pods of a LeaderWorkerSet match: its name, the group, and for workers their index."""
    return f"{_literal(name)}-[0-9]+(-[0-9]+)?"


def pods_of(deployment: str) -> str:
    """What the names of a Deployment's pods match, and no other Deployment's.

    A pod is called after it, the hash of its ReplicaSet and five letters of its own; a name that leaves no room for
    these is cut.
    """
    if len(deployment) > _LONGEST_WITH_HASH:
        return _literal(f"{deployment}-"[:_LONGEST_BASE]) + ".*"
    return f"{_literal(deployment)}-{_POD_SUFFIX}"


def _literal(text: str) -> str:
    """A regular expression of RE2 that matches a text alone."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
