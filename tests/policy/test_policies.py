"""Each policy: stacks that break it and stacks that do not, with exact messages."""

from collections import Counter

import pytest

from gke_llm_inference.policy.preview_check import check_recording, resources_of
from gke_llm_inference.policy.registry import POLICIES
from gke_llm_inference.policy.rules.exposure import ALLOWED_EXPOSURES, ExposureSettings
from tests.policy.cases import BALANCER, CASES, GATEWAY, INTERNAL_GATEWAY, TOKEN, Case, server
from tests.support import REPOSITORY
from tools.policy_reference import page


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_a_policy_says(case: Case) -> None:
    report = check_recording(case.recording)
    found = [
        (one.violation.urn.rpartition("::")[2], one.violation.message)
        for one in report.found
        if one.policy.name == case.policy
    ]
    assert found == list(case.expected)


def test_a_token_is_in_no_message() -> None:
    assert not [
        one
        for case in CASES
        for one in check_recording(case.recording).found
        if TOKEN in f"{one.violation.urn}{one.violation.message}"
    ]


def test_each_policy_has_stacks_that_break_it_that_do_not_and_that_hide_it() -> None:
    names = {policy.name for policy in POLICIES}
    # What allows everything as it is shipped has a test of its own.
    assert {case.policy for case in CASES if case.expected} == names - {ALLOWED_EXPOSURES.name}
    assert {case.policy for case in CASES if not case.expected and "unknown" not in case.title} == names
    hidden = Counter(case.policy for case in CASES if "unknown" in case.title)
    assert set(hidden) == names


@pytest.mark.parametrize(
    ("exposures", "expected"),
    [
        (("internal",), ["is external; allowed: internal", "is external; allowed: internal"]),
        ((), ["is external; allowed: none", "is internal; allowed: none", "is external; allowed: none"]),
        (("internal", "external"), []),
    ],
)
def test_load_balancers_are_only_where_they_are_allowed(exposures: tuple[str, ...], expected: list[str]) -> None:
    resources = resources_of(Case("", "", (GATEWAY, INTERNAL_GATEWAY, BALANCER, server())).recording)
    settings = ExposureSettings.model_validate({"exposures": exposures})
    assert [message for one in resources for message in ALLOWED_EXPOSURES.check(one, settings)] == expected


def test_the_names_are_sorted_and_no_two_are_the_same() -> None:
    names = [policy.name for policy in POLICIES]
    assert names == sorted(set(names))


def test_the_page_about_policies_is_generated() -> None:
    assert (REPOSITORY / "docs" / "policies.md").read_text("utf-8") == page(), "run: make generate"
