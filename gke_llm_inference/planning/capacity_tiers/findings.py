"""Findings of tiers, each where its tier stands in the configuration."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from gke_llm_inference.settings import Finding


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
