"""What kube-score finds is accepted by name and reason, or fails."""

from __future__ import annotations

from typing import Any

from tools.manifest_findings import accepted_findings, differences


def scored(name: str, *checks: tuple[str, int], skipped: bool = False) -> dict[str, Any]:
    found = [{"check": {"id": check}, "grade": grade, "skipped": skipped} for check, grade in checks]
    return {"object_name": name, "checks": found}


def test_a_critical_finding_that_is_not_accepted_is_named_with_its_objects() -> None:
    score = [scored("b", ("new", 1), ("known", 1)), scored("a", ("new", 1), ("warning", 5), ("fine", 10))]
    assert list(differences(score, {"known": "a reason"})) == ["new: a, b"]


def test_what_is_skipped_is_not_found() -> None:
    assert list(differences([scored("a", ("new", 1), skipped=True)], {})) == []


def test_an_acceptance_that_nothing_needs_any_more_fails() -> None:
    assert list(differences([scored("a", ("fine", 10))], {"old": "a reason"})) == [
        "old: is accepted, but not found any more"
    ]


def test_every_acceptance_has_a_reason_and_the_network_policy_is_none_of_them() -> None:
    accepted = accepted_findings()
    assert list(accepted) == sorted(accepted)
    assert all(len(reason) > 20 for reason in accepted.values())
    assert "pod-networkpolicy" not in accepted
