"""What a plan has of the repositories that images come through, and what images are called there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gke_llm_inference.planning.image_names import host_of, parts_of
from gke_llm_inference.settings import UpstreamCredentials


@dataclass(frozen=True, kw_only=True)
class RepositoryPlan:
    """A repository of Artifact Registry before another registry.

    Attributes:
        upstream: host of the registry that it stands before.
        repository_id: its id.
        slug: what the upstream is called in names of resources.
        address: what stands before the names of its images.
        preset: Google's name for the upstream; None where it is found by its address, and where it exists already.
        upstream_address: address of the upstream; None for one with a preset, and where it exists already.
        credentials: who it is for its upstream; None for nobody.

    """

    upstream: str
    repository_id: str
    slug: str
    address: str
    preset: str | None = None
    upstream_address: str | None = None
    credentials: UpstreamCredentials | None = None


@dataclass(frozen=True, kw_only=True)
class ImageRegistryPlan:
    """How images come through Artifact Registry.

    Attributes:
        project: Google Cloud project of the repositories.
        location: region or multi-region of the repositories.
        creates: whether the stack makes them.
        repositories: those that images of the stack come through, by the host of their upstream.
        labels: labels of those that it makes.

    """

    project: str
    location: str
    creates: bool
    repositories: tuple[RepositoryPlan, ...]
    labels: Mapping[str, str]

    def through(self, image: str) -> str:
        """The name of an image in its repository, tag and digest with it; unchanged where there is none for it."""
        host, path = parts_of(image)
        found = next((one for one in self.repositories if one.upstream == host), None)
        return f"{found.address}/{path}" if found else image

    def origin(self, image: str) -> str:
        """The name that an image has where it comes from; unchanged where it comes through no repository."""
        for one in self.repositories:
            if image.startswith(f"{one.address}/"):
                return f"{one.upstream}/{image.removeprefix(f'{one.address}/')}"
        return image

    def used_for(self, images: Iterable[str]) -> "ImageRegistryPlan":
        """The same with the repositories alone that some of the images, as they run, come through."""
        names = tuple(images)
        used = tuple(one for one in self.repositories if any(name.startswith(f"{one.address}/") for name in names))
        return replace(self, repositories=used)


def through(image: str, registry: ImageRegistryPlan | None) -> str:
    """The name by which pods run an image."""
    return registry.through(image) if registry else image


def fetched_from(image: str, registry: ImageRegistryPlan | None) -> str | None:
    """The registry that an image's repository fetches it from when it is asked the first time; None without one."""
    if registry is None:
        return None
    origin = registry.origin(image)
    return None if origin == image else host_of(origin)
