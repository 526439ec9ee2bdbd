"""Whether an image of the stack's own is one of the server and of the version that the plan is for."""

import re
from collections.abc import Mapping

from gke_llm_inference.catalog import InferenceServerFacts, ServerKind
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings

_TAG_VERSION = re.compile(r"v?([0-9]+(?:\.[0-9]+){1,2})(?![0-9])")
# Google's images of TGI have the version in their name: cu124.2-3 is 2.3.
_NAMED_VERSION = re.compile(r"-cu[0-9]+\.([0-9]+)-([0-9]+)(?![0-9])")
_OTHER_HARDWARE = re.compile(r"(?:^|[-_.:/])(rocm|cpu|xpu|tpu|neuron|hpu|gaudi|arm64|aarch64)(?=$|[-_.:/0-9])")
# Words that may mean something else in a name of one's own.
_AMBIGUOUS = ("cpu", "arm64", "aarch64")
# Servers for which this package has no plan, by words of their images' names.
_OTHER_SERVERS = (
    "sglang",
    "ollama",
    "tritonserver",
    "tensorrt-llm",
    "lmdeploy",
    "llama.cpp",
    "text-embeddings-inference",
)


def image_findings(
    path: str, settings: ServerSettings, version: str, servers: Mapping[ServerKind, InferenceServerFacts]
) -> list[Finding]:
    """Problems and warnings of `image`, by what its name and its tag say.

    Of the servers' own images a tag is the server's version. Of others it may be a version of its own, which is worth
    a warning where it is not the one that is planned.

    Args:
        path: where the server stands in the configuration.
        settings: its settings.
        version: the version that is planned.
        servers: facts about all servers.

    """
    if settings.image is None:
        return []
    facts, where = servers[settings.server], f"{path}.image"
    name, tag = _name_and_tag(settings.image)
    mine = _speaks_of(name, facts)
    others = [one.title for kind, one in servers.items() if kind != settings.server and _speaks_of(name, one)]
    others += [word for word in _OTHER_SERVERS if word in name]
    if others and not mine:
        return [
            Finding(
                path=where,
                what=f"is an image of {others[0]}, not of {facts.title}",
                why="it does not know the arguments that are planned, and would not start",
                fix=f"set server to what the image holds, or use an image of {facts.title}",
            )
        ]
    is_official = name.rpartition("/")[2] in facts.image_names or bool(_NAMED_VERSION.search(name) and mine)
    hardware = _OTHER_HARDWARE.search(f"{name}:{tag}")
    if hardware is not None and (is_official or hardware[1] not in _AMBIGUOUS):
        return [
            Finding(
                path=where,
                what=f"is built for other hardware: {hardware[1]}",
                why="the server would not find the NVIDIA GPUs of its node",
                fix=f"use {facts.image(version)}",
            )
        ]
    stated = _stated_version(name, tag)
    if stated is None and is_official and "@" not in settings.image:
        return [
            Finding(
                path=where,
                what=f"its tag {tag} does not say which version it holds",
                why=f"the plan is for {facts.title} {version}; flags, defaults and memory differ by version",
                fix=f"use {facts.image(version)}, or set version to what the image holds",
                severity="warning",
            )
        ]
    if stated is None or not mine or not _differs(stated, version):
        return []
    what = f"is of {facts.title} {stated}, and the plan is for {version}"
    why = "flags, defaults and memory differ by version: the server may not start, or not as planned"
    fix = f"set version: {stated}, or use {facts.image(version)}"
    if is_official:
        return [Finding(path=where, what=what, why=why, fix=fix)]
    return [
        Finding(
            path=where,
            what=f"its tag says {stated}, and the plan is for {facts.title} {version}",
            why=f"where that is the version of {facts.title}, {why}",
            fix=f"set version: {stated}, or go on if the tag is a version of your own",
            severity="warning",
        )
    ]


def _name_and_tag(image: str) -> tuple[str, str]:
    """The name of an image, without registry and digest, and its tag."""
    name = image.partition("@")[0]
    path, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    name = f"{path}{slash}{last}"
    registry, slash, rest = name.partition("/")
    # As Docker tells a registry from a path: by a dot or a port.
    return (rest if slash and ("." in registry or ":" in registry or registry == "localhost") else name).lower(), tag


def _speaks_of(name: str, facts: InferenceServerFacts) -> bool:
    """Whether a name has a word that stands for the server."""
    return any(re.search(rf"(?:^|[-_./]){re.escape(word)}(?=$|[-_./])", name) for word in facts.image_words)


def _stated_version(name: str, tag: str) -> str | None:
    tagged = _TAG_VERSION.match(tag)
    if tagged is not None:
        return tagged[1]
    named = _NAMED_VERSION.search(name)
    return f"{named[1]}.{named[2]}" if named else None


def _differs(stated: str, version: str) -> bool:
    """Whether two versions differ in a part that both state."""
    pairs = zip(version_parts(stated), version_parts(version), strict=False)
    return any(one != other for one, other in pairs)
