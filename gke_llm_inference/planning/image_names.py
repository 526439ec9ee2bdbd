"""The parts of an image's name: the registry that it comes from, and what is called there."""

DOCKER_HUB = "docker.io"


def parts_of(image: str) -> tuple[str, str]:
    """Registry of an image and the rest of its name, as container runtimes read it.

    A first part with a dot or a port is a registry. Without one it is Docker Hub, whose own images are below `library`.
    """
    first, _, rest = image.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        host, path = first, rest
    else:
        host, path = DOCKER_HUB, image
    return host, path if host != DOCKER_HUB or "/" in path else f"library/{path}"


def host_of(image: str) -> str:
    """Registry of an image."""
    return parts_of(image)[0]


def full_name(image: str) -> str:
    """An image with its registry: the same for every way to write it."""
    return "/".join(parts_of(image))
