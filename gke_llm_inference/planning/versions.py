"""Versions of inference servers, and the CUDA that their images hold."""

import re
from collections.abc import Iterable
from functools import lru_cache

from gke_llm_inference.catalog import InferenceServerFacts
from gke_llm_inference.settings import Finding


@lru_cache(maxsize=1024)
def version_parts(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparing."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", version))


def full_version(version: str) -> str:
    """A version with all three of its numbers: 0.10 means 0.10.0."""
    return f"{version}.0" if version.count(".") == 1 else version


def maintenance_warnings(path: str, facts: InferenceServerFacts) -> list[Finding]:
    """A warning of a server that takes no new features."""
    if not facts.maintenance:
        return []
    return [
        Finding(
            path=f"{path}.server",
            what=f"{facts.title} is in maintenance mode",
            why=facts.maintenance,
            fix=f"{facts.alternative}",
            severity="warning",
        )
    ]


def version_findings(path: str, version: str, facts: InferenceServerFacts) -> list[Finding]:
    """Problems and warnings of asking for a version that is not known."""
    oldest, newest = facts.known_versions[0], facts.known_versions[-1]
    if version_parts(version) < version_parts(oldest):
        return [
            Finding(
                path=f"{path}.version",
                what=f"{facts.title} {version} is older than every version in the catalog",
                why=f"its flags and defaults may differ from those of {oldest}",
                fix=f"use {oldest} or later",
            )
        ]
    if version_parts(version) > version_parts(newest):
        return [
            Finding(
                path=f"{path}.version",
                what=f"{facts.title} {version} is newer than every version in the catalog",
                why=f"the rules of {newest} are used; flags may have been removed or changed since",
                fix=f"use {newest}, or check the release notes",
                severity="warning",
            )
        ]
    return []


def image_cuda(facts: InferenceServerFacts, version: str, image: str) -> str:
    """CUDA version of an image: what its name or tag states, as in `-cu129`, else that of the server's version."""
    # Some images state it in their name, others in their tag.
    tagged = re.search(r"(?:^|[-.:])cu([0-9]{2})([0-9])(?![0-9])", image.rpartition("/")[2])
    if tagged:
        return f"{tagged[1]}.{tagged[2]}"
    known = [entry.version for entry in facts.cuda if version_parts(entry.since) <= version_parts(version)]
    return known[-1] if known else facts.cuda[0].version


def newest_cuda(versions: Iterable[str]) -> str:
    """Newest of some CUDA versions; empty if there are none."""
    return max(versions, key=version_parts, default="")


def neighboring_versions(version: str, facts: InferenceServerFacts) -> tuple[str, ...]:
    """The known versions whose flags may hold for `version`: itself, or the next older and the next newer."""
    if version in facts.known_versions:
        return (version,)
    older = [known for known in facts.known_versions if version_parts(known) < version_parts(version)]
    newer = [known for known in facts.known_versions if version_parts(known) > version_parts(version)]
    return (*older[-1:], *newer[:1])
