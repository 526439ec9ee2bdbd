"""Which known vulnerabilities a server has, by its version, its model and its flags."""

from collections.abc import Collection, Sequence
from functools import lru_cache

from packaging.version import Version

from gke_llm_inference.catalog import Catalog, ServerKind
from gke_llm_inference.catalog.vulnerability_facts import SEVERITIES, Vulnerability
from gke_llm_inference.settings import Finding

# Families of the catalog's models that take text alone; of gemma3 only the smallest does, and others are not known.
_TEXT_ONLY = frozenset({"falcon", "gemma", "gemma2", "llama", "mistral", "mixtral", "qwen2"})


def known_vulnerabilities(
    kind: ServerKind,
    version: str,
    catalog: Catalog,
    *,
    family: str | None = None,
    arguments: Collection[str] | None = None,
) -> tuple[Vulnerability, ...]:
    """The vulnerabilities of a server, in the catalog's order.

    Args:
        kind: the server.
        version: its version.
        catalog: the facts to decide by.
        family: family of its model; any model if None.
        arguments: its command line; any flags if None.

    """
    return tuple(
        one
        for one in _of_version(kind, version, catalog.vulnerabilities[kind].vulnerabilities)
        if not (one.multimodal and family in _TEXT_ONLY)
        and (arguments is None or one.flag is None or _is_given(one, arguments))
    )


def remote_holes(kind: ServerKind, version: str, catalog: Catalog) -> tuple[Vulnerability, ...]:
    """Why a version must not be reachable from the internet: what anyone can do to it; empty if nothing is known."""
    return tuple(one for one in known_vulnerabilities(kind, version, catalog) if one.is_remote_hole)


def first_version_without(vulnerabilities: Sequence[Vulnerability]) -> str | None:
    """The first version that has all of them fixed, as far as sources name one; None where they name none at all."""
    return max((one.fixed for one in vulnerabilities if one.fixed), key=Version, default=None)


def vulnerability_warnings(
    path: str, kind: ServerKind, version: str, family: str, arguments: Collection[str], catalog: Catalog
) -> list[Finding]:
    """One warning that names the known vulnerabilities of a server's version, and which of them it is open to.

    Args:
        path: where the server stands in the configuration.
        kind: the server.
        version: its version.
        family: family of its model.
        arguments: its command line.
        catalog: the facts to decide by.

    """
    known = known_vulnerabilities(kind, version, catalog)
    if not known:
        return []
    reached = known_vulnerabilities(kind, version, catalog, family=family, arguments=arguments)
    others = [one for one in known if one not in reached]
    title, fixed = f"{catalog.servers[kind].title} {version}", first_version_without(known)
    needs = "a model for images, video or audio, or a flag that the server does not have"
    if reached:
        worst = max(reached, key=_rank)
        what = f"{title} has {_counted(reached)}: {_ids(reached)}"
        why = f"the worst is {worst.id}: {worst.what[0].lower()}{worst.what[1:]}"
        why += f"; with {needs}, also {_ids(others)}" if others else ""
    else:
        what = f"{title} has {_counted(others)} that this server is not open to: {_ids(others)}"
        why = f"what lets them in is {needs}; a later change may"
    return [
        Finding(
            path=f"{path}.version",
            what=what,
            why=why,
            fix=f"use {fixed} or later" if fixed else "use a later version; no source names one that has them fixed",
            severity="warning",
        )
    ]


@lru_cache(maxsize=256)
def _of_version(
    kind: ServerKind, version: str, vulnerabilities: tuple[Vulnerability, ...]
) -> tuple[Vulnerability, ...]:
    del kind
    return tuple(one for one in vulnerabilities if one.affects(version))


def _is_given(one: Vulnerability, arguments: Collection[str]) -> bool:
    """Whether the command line has the flag, and its value what it takes."""
    line = list(arguments)
    for index, text in enumerate(line):
        name, _, value = text.partition("=")
        if name.replace("_", "-").partition(".")[0] == one.flag:
            following = line[index + 1] if index + 1 < len(line) else ""
            return one.value in (value or following)
    return False


def _rank(one: Vulnerability) -> tuple[int, int]:
    """How bad it is: by severity, then by who can use it."""
    severity = SEVERITIES.index(one.severity) if one.severity else -1
    return severity, ("model", "client", "anyone").index(one.used_by)


def _ids(some: Sequence[Vulnerability]) -> str:
    return ", ".join(one.id for one in some)


def _counted(found: Sequence[Vulnerability]) -> str:
    return f"{len(found)} known vulnerabilities" if len(found) > 1 else "a known vulnerability"
