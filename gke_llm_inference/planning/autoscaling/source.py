"""What reads the metrics of a server that scales, by what the stack says and the cluster's version allows."""

from collections.abc import Iterable
from dataclasses import dataclass

from gke_llm_inference.catalog.autoscaling_facts import AutoscalingFacts
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import (
    AutoscalingSettings,
    AutoscalingSource,
    HttpHolder,
    ServerSettings,
    StackAutoscalingSettings,
    StackSettings,
)


@dataclass(frozen=True, kw_only=True)
class StackSources:
    """What decides on the source of every server of a stack.

    Attributes:
        asked: what the stack says.
        version: what the cluster runs at least; None where it is not known.
        facts: what there is.
        has_keda: whether a server of the stack says that it uses KEDA.

    """

    asked: StackAutoscalingSettings
    version: str | None
    facts: AutoscalingFacts
    has_keda: bool

    def of(self, settings: AutoscalingSettings) -> tuple[AutoscalingSource, str]:
        """The source of a server, and why it is that."""
        if settings.source is not None:
            return settings.source, "the server states it"
        if isinstance(settings.scale_to_zero, HttpHolder):
            return "keda", "its HTTP add-on holds the requests"
        if self.asked.source is not None:
            return self.asked.source, "the stack states it"
        if settings.scale_to_zero is not None:
            if self.has_keda or not self.reaches(self.facts.scale_to_zero_since):
                return "keda", f"only KEDA goes to zero before GKE {self.facts.scale_to_zero_since}"
            return "adapter", f"GKE {self.facts.scale_to_zero_since} goes to zero by itself, by the length of the queue"
        if self.reaches(self.facts.native.since):
            return "native", f"cluster.gkeVersion is {self.facts.native.since} or later"
        before = f"before GKE {self.facts.native.since}" if self.version else "cluster.gkeVersion is not known"
        if self.has_keda:
            return "keda", f"{before}, and the adapter cannot be beside KEDA"
        return "adapter", f"{before}, and the adapter works with every version"

    def has_native(self, servers: Iterable[ServerSettings]) -> bool:
        """Whether GKE reads the metrics of one of the servers itself."""
        return any(one.autoscaling is not None and self.of(one.autoscaling)[0] == "native" for one in servers)

    def reaches(self, version: str) -> bool:
        """Whether the cluster is known to run that version or a later one."""
        return self.version is not None and version_parts(self.version) >= version_parts(version)


def stack_sources(settings: StackSettings, facts: AutoscalingFacts) -> StackSources:
    """What decides on the sources of a stack.

    Args:
        settings: the stack's settings.
        facts: what there is.

    """
    asked = settings.autoscaling
    scaled = [one.autoscaling for one in settings.servers.values() if one.autoscaling is not None]
    has_keda = any(
        (one.source or asked.source) == "keda" or isinstance(one.scale_to_zero, HttpHolder) for one in scaled
    )
    return StackSources(asked=asked, version=settings.cluster.gke_version, facts=facts, has_keda=has_keda)
