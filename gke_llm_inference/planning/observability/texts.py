"""What an alert says: what it means, what to check and what to do, with the names of what it is about."""

import re
from collections.abc import Iterator, Mapping

from gke_llm_inference.catalog.alert_facts import AlertFacts, AlertKind

_PAGE = "docs/runbooks.md"
_LOGS = "The server's log holds no prompts; keep it so while you look."


def alert_text(kind: AlertKind, facts: AlertFacts, names: Mapping[str, str], threshold: str, why: str) -> str:
    """The text of an alert as Markdown.

    Args:
        kind: what it is about.
        facts: what is said of its kind.
        names: names that its texts and commands mention.
        threshold: from when on it is raised, in words.
        why: why from then on.

    """
    head = f"Raised: {threshold}. Why then: {why}."
    return "\n".join([head, "", *body(facts, names), "", f"Runbook: {_PAGE}#{anchor(kind)}, of gke-llm-inference."])


def body(facts: AlertFacts, names: Mapping[str, str]) -> Iterator[str]:
    """What it means, what to check and what to do, as lines of Markdown."""
    yield filled(facts.means, names)
    yield ""
    yield "Check:"
    yield ""
    for number, check in enumerate(facts.check, start=1):
        yield f"{number}. {filled(check.what, names)} `{filled(check.command, names)}`"
    yield ""
    yield "Do:"
    yield ""
    yield from (f"* {filled(one, names)}" for one in facts.do)
    yield ""
    yield _LOGS


def anchor(kind: AlertKind) -> str:
    """The section of the runbooks' page about a kind of alert."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower()


def filled(text: str, names: Mapping[str, str]) -> str:
    """A text with names in place of what stands in braces; braces without a name stay."""
    return re.sub(r"\{([a-z]+)\}", lambda found: names.get(found[1], found[0]), text)
