"""What a plan has of disks that nodes start with."""

from dataclasses import dataclass

from gke_llm_inference.planning.image_names import full_name


@dataclass(frozen=True, kw_only=True)
class HeldImages:
    """Container images on a disk that nodes start with.

    Attributes:
        path: where the configuration has the disk.
        title: the disk in words.
        images: names of the images; empty where it is not said what it holds.

    """

    path: str
    title: str
    images: tuple[str, ...]

    def holds(self, image: str) -> bool:
        """Whether a node finds an image there, or may: containerd finds it by the very name that the pod runs it by."""
        return not self.images or full_name(image) in map(full_name, self.images)


@dataclass(frozen=True, kw_only=True)
class AllowlistPlan:
    """The disk images that nodes may start with which GKE makes for pods: one object of that name in a cluster.

    Attributes:
        name: the name that GKE looks for.
        patterns: expressions of which a disk image must match one, sorted.

    """

    name: str
    patterns: tuple[str, ...]
