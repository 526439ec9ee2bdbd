"""Names are DNS labels of the right length, the same in every run, and never shared by two texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning import StackIdentity
from gke_llm_inference.planning.names import clashes, dns_label, label_value
from tests.planning.support import QWEN, planned, problems_of, standard_stack
from tests.settings.support import PROPERTY

TEXTS = st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_. -]{0,90}", fullmatch=True))
LABELS = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
LIMITS = st.integers(min_value=12, max_value=63)


@given(text=TEXTS, limit=LIMITS)
@PROPERTY
def test_any_text_becomes_a_dns_label_within_the_limit(text: str, limit: int) -> None:
    name = dns_label(text, limit)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= limit
    assert dns_label(text, limit) == name
    assert dns_label(name, limit) == name


@given(text=LABELS)
@PROPERTY
def test_a_text_that_is_a_label_already_stays(text: str) -> None:
    assert dns_label(text) == text


@given(texts=st.sets(TEXTS, min_size=2, max_size=30), limit=LIMITS)
@PROPERTY
def test_two_texts_never_get_one_name(texts: set[str], limit: int) -> None:
    assert len({dns_label(text, limit) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "limit", "name"),
    [
        ("gemma", 63, "gemma"),
        ("a", 63, "a"),
        ("x" * 63, 63, "x" * 63),
        ("x" * 64, 63, f"{'x' * 54}-7ce10097"),
        ("gemma-7b", 32, "gemma-7b"),
        ("Gemma 7B", 63, "gemma-7b-"),
        ("gemma.7b", 63, "gemma-7b-"),
        ("7b", 63, "n-7b-"),
        ("名前", 63, "n-"),
        ("", 63, "n-"),
        ("-a-", 63, "a-"),
    ],
)
def test_a_name_keeps_what_it_can_of_the_text(text: str, limit: int, name: str) -> None:
    if name.endswith("-"):
        assert re.fullmatch(f"{name}[0-9a-f]{{8}}", dns_label(text, limit))
    else:
        assert dns_label(text, limit) == name


def test_texts_that_differ_in_case_or_punctuation_get_different_names() -> None:
    texts = ["Gemma 7B", "gemma 7b", "gemma.7b", "gemma_7b", "gemma-7b", "GEMMA-7B", " gemma-7b"]
    assert len({dns_label(text) for text in texts}) == len(texts)


def test_long_texts_with_a_common_beginning_get_different_names() -> None:
    assert dns_label("x" * 100 + "a") != dns_label("x" * 100 + "b")


@given(text=st.from_regex(r"[A-Za-z0-9][\w./ -]{0,200}", fullmatch=True))
@PROPERTY
def test_any_model_becomes_the_value_of_a_kubernetes_label(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", label_value(text))


def test_entries_that_would_share_a_name_are_refused() -> None:
    taken = dns_label("Gemma 7B")
    (problem,) = clashes("servers", ["Gemma 7B", taken])
    assert problem.path == f"servers.{taken}"
    assert problem.what == f"gets the same name as servers.Gemma 7B: {taken}"
    assert problem.fix == "rename one of them"


def test_entries_with_names_of_their_own_do_not_clash() -> None:
    assert clashes("servers", ["Gemma 7B", "gemma 7b", "gemma-7b", "x" * 80, "x" * 81]) == []


@pytest.mark.parametrize(("section", "limit"), [("servers", 63), ("nodePools", 32)])
def test_a_stack_with_a_clash_is_refused(section: str, limit: int) -> None:
    taken = dns_label("L4 pool", limit)
    raw = standard_stack({"l4": {"maxNodes": 9}}, {"qwen": QWEN})
    raw[section] |= {"L4 pool": next(iter(raw[section].values())), taken: next(iter(raw[section].values()))}
    assert [problem.path for problem in problems_of(raw)] == [f"{section}.{taken}"]


def test_names_of_pools_leave_room_for_the_suffix_that_pulumi_appends() -> None:
    plan = planned(standard_stack({"l4-" + "x" * 60: {}}, {"qwen": QWEN}))
    assert len(plan.node_pools[0].name) + len("-1234567") <= 40


@pytest.mark.parametrize(
    ("stack", "expected"),
    [("test", "gke-llm-inference-test"), ("a-stack-with-quite-a-long-name", None), ("Feature_1", None)],
)
def test_a_cluster_without_a_name_is_called_after_project_and_stack(stack: str, expected: str | None) -> None:
    raw = standard_stack({"l4": {}}, {"qwen": QWEN})
    cluster = planned(raw, StackIdentity("gke-llm-inference", stack, "my-project")).cluster
    assert cluster.name is not None
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", cluster.name)
    assert cluster.name.startswith("gke-llm-inference-")
    assert expected in (None, cluster.name)


@pytest.mark.parametrize("name", ["a", "llm", "x" * 40])
def test_the_service_account_of_the_nodes_has_an_id_that_google_takes(name: str) -> None:
    cluster = planned(standard_stack({"l4": {}}, {"qwen": QWEN}, name=name)).cluster
    assert re.fullmatch(r"[a-z][-a-z0-9]{4,28}[a-z0-9]", cluster.service_account_id or "")
