"""Known vulnerabilities: which versions have which, what a stack hears of them, and what must not face the internet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gke_llm_inference.planning.vulnerabilities import (
    first_version_without,
    known_vulnerabilities,
    remote_holes,
    vulnerability_warnings,
)
from tests.planning.support import CATALOG, QWEN, is_of_vulnerabilities, planned, standard_stack
from tests.support import REPOSITORY
from tools.vulnerability_reference import vulnerability_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gke_llm_inference.catalog import ServerKind
    from gke_llm_inference.catalog.vulnerability_facts import Vulnerability

VERSIONS: list[tuple[ServerKind, str]] = [
    (kind, version) for kind, facts in CATALOG.servers.items() for version in facts.known_versions
]
ALL = [one for facts in CATALOG.vulnerabilities.values() for one in facts.vulnerabilities]


def ids(kind: ServerKind, version: str, family: str | None = None, arguments: Sequence[str] | None = None) -> set[str]:
    return {one.id for one in known_vulnerabilities(kind, version, CATALOG, family=family, arguments=arguments)}


@pytest.mark.parametrize("one", ALL, ids=lambda one: str(one.id))
def test_the_fixed_version_is_the_first_that_is_not_affected(one: Vulnerability) -> None:
    assert one.advisory != one.id
    assert one.url.startswith("https://github.com/advisories/GHSA-")
    assert not one.what.endswith(".")
    if one.fixed is None:
        assert any(part.operator in ("==", "<=") for part in SpecifierSet(one.affected))
        return
    assert not one.affects(one.fixed)
    assert one.affected.endswith(f"<{one.fixed}")


def test_every_server_lists_each_once_and_by_the_version_that_has_it_fixed() -> None:
    for facts in CATALOG.vulnerabilities.values():
        names = [one.id for one in facts.vulnerabilities]
        assert len(names) == len(set(names))
        fixed = [Version(one.fixed) for one in facts.vulnerabilities if one.fixed]
        assert fixed == sorted(fixed)


@pytest.mark.parametrize(
    ("vulnerability", "last", "fixed"),
    [
        ("CVE-2026-22778", "0.14.0", "0.14.1"),
        ("CVE-2026-22807", "0.13.0", "0.14.0"),
        ("CVE-2026-27893", "0.17.9", "0.18.0"),
        ("CVE-2026-34756", "0.18.2", "0.19.0"),
        ("CVE-2025-62164", "0.11.0", "0.11.1"),
        ("CVE-2026-48746", "0.21.0", "0.22.0"),
    ],
)
def test_a_version_has_what_was_fixed_after_it(vulnerability: str, last: str, fixed: str) -> None:
    assert vulnerability in ids("vllm", last)
    assert vulnerability not in ids("vllm", fixed)


def test_versions_before_the_first_affected_one_do_not_have_it() -> None:
    assert "CVE-2026-22778" not in ids("vllm", "0.8.2")
    assert "CVE-2026-22778" in ids("vllm", "0.8.3")


@pytest.mark.parametrize("version", ["0.24.0", "0.26.0", "0.33.0"])
def test_nothing_is_known_of_recent_versions(version: str) -> None:
    assert ids("vllm", version) == set()
    assert ids("tgi", "3.3.7") == set()


def test_a_model_for_text_alone_has_none_of_images_and_video() -> None:
    assert "CVE-2026-22778" in ids("vllm", "0.14.0", "gemma3")
    assert "CVE-2026-22778" not in ids("vllm", "0.14.0", "gemma2")
    assert ids("tgi", "2.3.1", "gemma") == set()
    assert ids("tgi", "2.3.1", "qwen2_vl") == {"CVE-2026-0599"}


@pytest.mark.parametrize(
    ("arguments", "has"),
    [
        ((), False),
        (("--tool-call-parser=hermes",), False),
        (("--tool-call-parser=qwen3_coder",), True),
        (("--tool-call-parser", "qwen3_coder"), True),
        (("--tool_call_parser=qwen3_coder",), True),
        (None, True),
    ],
)
def test_what_needs_a_flag_counts_where_the_flag_is_given(arguments: Sequence[str] | None, *, has: bool) -> None:
    assert ("CVE-2025-9141" in ids("vllm", "0.10.0", arguments=arguments)) is has


@pytest.mark.parametrize(
    ("kind", "version", "holes"),
    [
        ("vllm", "0.17.1", {"CVE-2026-5497", "CVE-2026-48746", "CVE-2026-55574"}),
        ("vllm", "0.21.0", {"CVE-2026-48746", "CVE-2026-55574"}),
        ("vllm", "0.23.0", {"CVE-2026-55574"}),
        ("vllm", "0.24.0", set()),
        ("vllm", "0.26.0", set()),
        ("tgi", "3.3.6", {"CVE-2026-0599"}),
        ("tgi", "3.3.7", set()),
    ],
)
def test_what_anyone_can_do_must_not_face_the_internet(kind: ServerKind, version: str, holes: set[str]) -> None:
    assert {one.id for one in remote_holes(kind, version, CATALOG)} == holes


@pytest.mark.parametrize(("kind", "before"), [("vllm", "0.18.0"), ("tgi", "3.3.7")])
def test_every_older_version_has_a_hole(kind: ServerKind, before: str) -> None:
    facts = CATALOG.servers[kind]
    older = [one for one in (*facts.known_versions, "0.17.9") if Version(one) < Version(before)]
    assert all(remote_holes(kind, version, CATALOG) for version in older)


def test_a_stack_gets_one_warning_for_each_server_that_names_them_all() -> None:
    servers = {"new": QWEN, "old": {**QWEN, "version": "0.19.1"}}
    warnings = planned(standard_stack({"l4": {"maxNodes": 3}}, servers)).warnings
    (warning,) = [one for one in warnings if is_of_vulnerabilities(one)]
    assert warning.path == "servers.old.version"
    assert warning.what == "vLLM 0.19.1 has 3 known vulnerabilities: CVE-2026-48746, CVE-2026-54235, CVE-2026-55574"
    assert warning.why == (
        "the worst is CVE-2026-48746: a crafted Host header gets past the API key; with a model for images, video or "
        "audio, or a flag that the server does not have, also CVE-2026-44222, CVE-2026-44223, CVE-2026-47155, "
        "CVE-2026-12491, CVE-2026-54233, CVE-2026-54234, CVE-2026-54236, CVE-2026-55514"
    )
    assert warning.fix == "use 0.24.0 or later"
    assert warning.severity == "warning"


@given(st.sampled_from(VERSIONS), st.sampled_from(["qwen2", "qwen2_vl", "gemma"]))
def test_a_version_with_vulnerabilities_is_never_without_a_warning(
    version: tuple[ServerKind, str], family: str
) -> None:
    warnings = vulnerability_warnings("servers.a", *version, family, (), CATALOG)
    told = {one for one in ids(*version) for warning in warnings if one in f"{warning.what} {warning.why}"}
    assert told == ids(*version)
    assert len(warnings) == bool(told)


def test_a_server_that_is_open_to_none_of_them_hears_that() -> None:
    (warning,) = vulnerability_warnings("servers.a", "tgi", "2.3.1", "qwen2", (), CATALOG)
    assert warning.what == (
        "Text Generation Inference 2.3.1 has a known vulnerability that this server is not open to: CVE-2026-0599"
    )
    assert warning.why == (
        "what lets them in is a model for images, video or audio, or a flag that the server does not have; a later "
        "change may"
    )
    assert warning.fix == "use 3.3.7 or later"


def test_where_no_source_names_a_fixed_version_none_is_promised() -> None:
    known = [one for one in known_vulnerabilities("vllm", "0.19.0", CATALOG) if one.id == "CVE-2026-9540"]
    assert len(known) == 1
    assert first_version_without(known) is None
    (warning,) = vulnerability_warnings("servers.a", "tgi", "3.3.6", "qwen2_vl", (), CATALOG)
    assert warning.what == "Text Generation Inference 3.3.6 has a known vulnerability: CVE-2026-0599"


def test_the_committed_page_is_that_of_the_catalog() -> None:
    assert (REPOSITORY / "docs" / "vulnerabilities.md").read_text("utf-8") == vulnerability_reference()
