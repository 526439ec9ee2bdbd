"""Container images: which bytes run."""

from collections.abc import Iterator

from gke_llm_inference.policy.model import NoSettings, ResourcePolicy
from gke_llm_inference.policy.resources import Resource
from gke_llm_inference.policy.workloads import containers


def _images(resource: Resource) -> Iterator[tuple[str, str, str, str]]:
    """Title of the container, image without tag and digest, tag, digest."""
    for container in containers(resource):
        image = container.at("image")
        if isinstance(image, str) and image:
            reference, _, digest = image.partition("@")
            folder, slash, name = reference.rpartition("/")
            name, _, tag = name.partition(":")
            yield container.title, f"{folder}{slash}{name}", tag, digest


def _pinned(resource: Resource, _: NoSettings) -> Iterator[str]:
    for title, image, tag, digest in _images(resource):
        if digest:
            continue
        if not tag:
            yield f"{title}: image {image} has neither tag nor digest"
        elif tag == "latest":
            yield f"{title}: image {image} has the tag latest"


def _digests(resource: Resource, _: NoSettings) -> Iterator[str]:
    for title, image, tag, digest in _images(resource):
        if not digest:
            yield f"{title}: image {image}{':' if tag else ''}{tag} has no digest"


PINNED_IMAGES = ResourcePolicy(
    name="pinned-images",
    what="Every image names a version: a tag other than latest, or a digest.",
    why="An image without one changes under a running deployment, and the server's flags and memory with it.",
    fix="name a version, as in servers.NAME.version, or a digest in servers.NAME.image",
    check=_pinned,
)
IMAGE_DIGESTS = ResourcePolicy(
    name="image-digests",
    what="Every image is named by its digest.",
    why="A tag can be moved to other bytes; only a digest says which image was reviewed.",
    fix="record the digests: gke-llm-inference images --stack NAME --record",
    check=_digests,
)
