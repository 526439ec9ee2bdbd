"""Findings of tiers, each where its tier stands in the configuration."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from gke_llm_inference.settings import Finding, ServerSettings


def has_several(settings: ServerSettings) -> bool:
    """Whether a server has several tiers, of which findings have to name one."""
    return settings.capacity is not None and len(settings.capacity) > 1


def of_first(path: str, settings: ServerSettings) -> str:
    """Where what is found of a server on its first tier stands."""
    return f"{path}.capacity[0]" if has_several(settings) else path


def of_tier(path: str, index: int, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Findings of a server on one of its tiers.

    Args:
        path: where the server stands in the configuration, and the findings with it.
        index: the tier's place in the list.
        findings: what was found of the server there.

    """
    for one in findings:
        setting = one.path.removeprefix(path).lstrip(".")
        yield replace(one, path=f"{path}.capacity[{index}]", what=f"{setting} {one.what}" if setting else one.what)
