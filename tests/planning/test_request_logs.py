"""No prompt in any log: what each version is told, and what undoes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.planning.support import CATALOG, QWEN, is_of_vulnerabilities, only_server, planned, standard_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw


def on_pool(**server: object) -> Raw:
    return standard_stack({"l4": {}}, {"chat": {**QWEN, "maxModelLen": 4096, **server}})


@pytest.mark.parametrize(
    ("version", "told"),
    [("0.6.0", True), ("0.10.0", True), ("0.10.1", True), ("0.10.2", False), ("0.26.0", False), ("0.33.0", False)],
)
def test_versions_that_log_prompts_are_told_not_to(version: str, *, told: bool) -> None:
    assert ("--disable-log-requests" in only_server(on_pool(version=version)).all_arguments) is told


def test_the_flag_stands_once() -> None:
    plan = only_server(on_pool(version="0.10.0", extraArgs=["--disable-log-requests"]))
    assert plan.all_arguments.count("--disable-log-requests") == 1


def test_tgi_has_no_such_flag() -> None:
    assert CATALOG.shutdown["tgi"].logs_prompts_before is None
    assert only_server(on_pool(server="tgi", version="2.3.1")).added_arguments == ()


@pytest.mark.parametrize(
    ("version", "extra", "what"),
    [
        ("0.26.0", "--enable-log-outputs", "--enable-log-outputs writes answers to the log"),
        ("0.26.0", "--enable-log-requests", "--enable-log-requests writes requests to the log"),
        ("0.26.0", "--no-enable-log-requests", None),
        ("0.33.0", "--disable-log-outputs", None),
    ],
)
def test_flags_that_log_what_users_write_or_read_are_a_warning(version: str, extra: str, what: str | None) -> None:
    warnings = planned(on_pool(version=version, extraArgs=[extra])).warnings
    said = [(one.path, one.what) for one in warnings if not is_of_vulnerabilities(one)]
    assert said == ([("servers.chat.extraArgs[0]", what)] if what else [])
