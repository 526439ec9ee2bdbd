"""What checkers find in manifests is accepted by name and reason, or fails."""

from __future__ import annotations

from typing import Any

import pytest

from tools.manifest_findings import accepted_findings, differences, of_checkov, of_kube_score


def scored(name: str, *checks: tuple[str, int], skipped: bool = False) -> dict[str, Any]:
    found = [{"check": {"id": check}, "grade": grade, "skipped": skipped} for check, grade in checks]
    return {"object_name": name, "checks": found}


def report(*failed: tuple[str, str], resources: int = 3, errors: int = 0) -> dict[str, Any]:
    checks = [{"check_id": check, "resource": resource} for check, resource in failed]
    summary = {"resource_count": resources, "parsing_errors": errors}
    return {"check_type": "kubernetes", "results": {"failed_checks": checks}, "summary": summary}


def test_a_critical_finding_that_is_not_accepted_is_named_with_its_objects() -> None:
    score = [scored("b", ("new", 1), ("known", 1)), scored("a", ("new", 1), ("warning", 5), ("fine", 10))]
    assert list(differences(of_kube_score(score), {"known": "a reason"})) == ["new: a, b"]


def test_whatever_fails_a_check_of_checkov_has_to_be_accepted() -> None:
    found = report(("CKV_1", "Deployment.llm.b"), ("CKV_2", "Deployment.llm.a"), ("CKV_1", "Deployment.llm.a"))
    assert list(differences(of_checkov(found), {"CKV_2": "a reason"})) == ["CKV_1: a, b"]


@pytest.mark.parametrize("unread", [report(resources=0), report(errors=1), {"passed": 0, "resource_count": 0}])
def test_manifests_that_checkov_has_not_read_are_no_success(unread: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has not read"):
        list(of_checkov(unread))


def test_what_is_skipped_is_not_found() -> None:
    assert list(differences(of_kube_score([scored("a", ("new", 1), skipped=True)]), {})) == []


def test_an_acceptance_that_nothing_needs_any_more_fails() -> None:
    assert list(differences(of_kube_score([scored("a", ("fine", 10))]), {"old": "a reason"})) == [
        "old: is accepted, but not found any more"
    ]


@pytest.mark.parametrize("checker", ["checkov", "kube-score"])
def test_every_acceptance_has_a_reason_and_the_network_policy_is_none_of_them(checker: str) -> None:
    accepted = accepted_findings(checker)
    assert list(accepted) == sorted(accepted)
    assert all(len(reason) > 20 for reason in accepted.values())
    assert accepted.keys().isdisjoint({"pod-networkpolicy", "CKV2_K8S_6"})
