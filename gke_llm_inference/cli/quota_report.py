"""Quotas for people and programs: what is needed, what there is, what is missing, and where to ask."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from gke_llm_inference.planning.quota import ALL_REGIONS, QuotaState

_CONSOLE = "https://console.cloud.google.com/iam-admin/quotas"
NONE_NEEDED = "the stack needs no GPU quota"


def quota_lines(states: Sequence[QuotaState], project: str | None, region: str | None, *, asked: bool) -> Iterator[str]:
    """The quotas as lines of text.

    Args:
        states: the quotas that the stack needs.
        project: Google Cloud project; None where the stack does not say.
        region: region of the cluster; None as above.
        asked: whether Google was asked.

    """
    if not states:
        yield NONE_NEEDED
    for state in states:
        need = state.need
        yield f"{need.name} ({_scope(state, region)}): needs {need.running} at rest, {need.largest} during an update"
        if not asked:
            yield f"  ask for {need.largest} beside what others use: {_where(project)}"
        elif state.use is None:
            yield f"  Compute Engine does not list it; look for it, or for its GPU family's quota: {_where(project)}"
        else:
            yield f"  limit {state.use.limit:g}, used {state.use.used:g}: {_verdict(state)}"
            if state.missing:
                yield f"  ask for a limit of {state.limit_to_ask_for}: {_where(project)}"


def quota_document(states: Sequence[QuotaState], project: str | None, region: str | None) -> dict[str, Any]:
    """The same as plain data for JSON."""
    return {
        "project": project,
        "region": region,
        "quotas": [
            {
                "name": state.need.name,
                "scope": _scope(state, region),
                "limit": None if state.use is None else state.use.limit,
                "used": None if state.use is None else state.use.used,
                "atRest": state.need.running,
                "duringUpdate": state.need.largest,
                "missingAtRest": state.missing_at_rest,
                "missing": state.missing,
                "askFor": state.limit_to_ask_for,
            }
            for state in states
        ],
        "where": _where(project),
    }


def _scope(state: QuotaState, region: str | None) -> str:
    return "all regions" if state.need.name == ALL_REGIONS else region or "the cluster's region"


def _verdict(state: QuotaState) -> str:
    if not state.missing:
        return "enough"
    if not state.missing_at_rest:
        return f"enough at rest, {state.missing} missing during an update"
    return f"{state.missing_at_rest} missing at rest, {state.missing} during an update"


def _where(project: str | None) -> str:
    return _CONSOLE if project is None else f"{_CONSOLE}?{urlencode({'project': project})}"
