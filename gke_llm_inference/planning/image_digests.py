"""Images by their digest: a tag can be moved to other bytes, a digest cannot."""

from collections.abc import Iterable, Mapping

from gke_llm_inference.planning.image_names import full_name
from gke_llm_inference.settings import Finding


def pinned(image: str, digests: Mapping[str, str]) -> str:
    """The image with the digest that the stack records for it; tag and digest both, as the tag tells the version."""
    digest = digests.get(image) or next(
        (digest for name, digest in digests.items() if full_name(name) == full_name(image)), None
    )
    return f"{image}@{digest}" if digest else image


def unused_digests(digests: Mapping[str, str], images: Iterable[str]) -> list[Finding]:
    """A warning for each digest of an image that nothing runs: it was meant for another version, or misspelled.

    Args:
        digests: digests by image.
        images: what the stack runs, by the names that the images have where they come from.

    """
    used = {image.partition("@")[0] for image in images}
    names = set(map(full_name, used))
    return [
        Finding(
            path=f"imageDigests.{image}",
            what="is not the image of any server",
            why="a digest that nothing uses pins nothing",
            fix=f"remove it; the servers run {', '.join(sorted(used)) or 'nothing'}",
            severity="warning",
        )
        for image in sorted(digests)
        if full_name(image) not in names
    ]
