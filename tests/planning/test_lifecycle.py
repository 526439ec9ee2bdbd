"""How pods end: the times by server version and machine, what stands against them, and that they hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning import plan_stack
from gke_llm_inference.planning.lifecycle import drain_of
from gke_llm_inference.planning.node_shutdown import NodeShutdown
from gke_llm_inference.settings import parse_settings
from tests.planning.support import (
    CATALOG,
    IDENTITY,
    QWEN,
    only_pool,
    only_problem,
    only_server,
    outcome_of,
    planned,
    standard_stack,
)
from tests.settings.support import PROPERTY, Raw, autopilot_stack

if TYPE_CHECKING:
    from gke_llm_inference.catalog import Catalog
    from gke_llm_inference.planning import ShutdownPlan

SPOT = {"provisioning": {"model": "spot"}}
NEW = "1.35.0-gke.1171000"
SHORT = {**QWEN, "maxModelLen": 4096, "maxOutputTokens": 256}
"""Answers of at most 256 tokens: half a minute on a full L4."""


def on_pool(server: Raw, *, spot: bool = False, **cluster: Any) -> Raw:
    return standard_stack({"l4": SPOT if spot else {}}, {"a": server}, **cluster)


def times(raw: Raw) -> tuple[int, int, int]:
    """Seconds of preStop's sleep, of the server's own wait, and until the kill."""
    shutdown = only_server(raw).shutdown
    return shutdown.sleep_seconds, shutdown.timeout_seconds, shutdown.grace_seconds


@pytest.mark.parametrize(
    ("server", "expected", "argument"),
    [
        (SHORT, (15, 60, 85), "--shutdown-timeout=60"),
        ({**SHORT, "version": "0.18.0"}, (15, 60, 85), "--shutdown-timeout=60"),
        ({**SHORT, "version": "0.17.2"}, (75, 0, 85), None),
        ({**SHORT, "version": "0.10.0"}, (75, 0, 85), None),
        (QWEN, (15, 570, 595), "--shutdown-timeout=570"),
        ({**QWEN, "version": "0.10.0"}, (105, 0, 115), None),
        ({**SHORT, "server": "tgi"}, (15, 60, 85), "--graceful-termination-timeout=60"),
        ({**QWEN, "server": "tgi", "version": "3.0.0"}, (15, 90, 115), None),
        ({**QWEN, "server": "tgi", "version": "2.3.1"}, (105, 0, 115), None),
    ],
    ids=["vLLM", "0.18", "0.17", "0.10", "long answers", "0.10, long", "TGI", "TGI 3.0, long", "TGI 2.3, long"],
)
def test_the_times_follow_from_the_version_and_the_longest_answer(
    server: Raw, expected: tuple[int, int, int], argument: str | None
) -> None:
    plan = only_server(on_pool(server))
    assert times(on_pool(server)) == expected
    assert plan.shutdown.argument == argument
    assert [text for text in plan.all_arguments if "timeout" in text] == ([argument] if argument else [])


@pytest.mark.parametrize(
    ("version", "after"), [("0.6.0", "cuts"), ("0.17.9", "cuts"), ("0.18.0", "waits"), ("0.33.0", "waits")]
)
def test_vllm_waits_for_running_answers_since_0_18(version: str, after: str) -> None:
    assert drain_of(version, CATALOG.shutdown["vllm"]).after == after


@pytest.mark.parametrize(
    ("version", "after", "flag"),
    [
        ("2.3.1", "ignores", None),
        ("2.4.0", "waits", None),
        ("3.2.1", "waits", None),
        ("3.2.2", "waits", "--graceful-termination-timeout"),
    ],
)
def test_tgi_gets_the_signal_since_2_4_and_has_a_flag_since_3_2_2(version: str, after: str, flag: str | None) -> None:
    drain = drain_of(version, CATALOG.shutdown["tgi"])
    assert (drain.after, drain.flag) == (after, flag)


@pytest.mark.parametrize("kind", ["vllm", "tgi"])
def test_every_known_version_takes_what_it_is_started_with(kind: str) -> None:
    for version, flags in CATALOG.flags[kind].items():  # type: ignore[index]  # the kinds of the catalog
        plan = only_server(on_pool({**QWEN, "server": kind, "version": version}))
        assert [flags.check(text) for text in plan.added_arguments] == [None] * len(plan.added_arguments)


@pytest.mark.parametrize(
    ("shutdown", "version", "expected"),
    [
        ({}, "0.26.0", (5, 8, 15)),
        ({}, "0.10.0", (13, 0, 15)),
        ({"graceSeconds": 10}, "0.26.0", (3, 5, 10)),
        ({"graceSeconds": 105}, "0.26.0", (15, 88, 105)),
        ({"graceSeconds": 105}, "0.10.0", (103, 0, 105)),
        ({"drainSeconds": 8}, "0.26.0", (5, 8, 15)),
        ({"drainSeconds": 9}, "0.26.0", (5, 9, 16)),
        ({"drainSeconds": 88}, "0.26.0", (15, 88, 105)),
        ({"drainSeconds": 5, "graceSeconds": 60}, "0.26.0", (15, 5, 60)),
    ],
)
def test_on_spot_a_pod_has_15_seconds_or_as_many_as_its_pool_is_told(
    shutdown: Raw, version: str, expected: tuple[int, int, int]
) -> None:
    raw = on_pool({**SHORT, "version": version, "shutdown": shutdown}, spot=True, gkeVersion=NEW)
    assert times(raw) == expected
    told = NodeShutdown(seconds=120, critical_seconds=15) if expected[2] > 15 else None
    assert only_pool(raw).shutdown == told


def test_a_pool_on_demand_is_told_nothing() -> None:
    assert only_pool(on_pool({**SHORT, "shutdown": {"graceSeconds": 105}})).shutdown is None


@pytest.mark.parametrize(
    ("raw", "path", "what", "fix"),
    [
        (
            on_pool({**SHORT, "shutdown": {"graceSeconds": 106}}, spot=True, gkeVersion=NEW),
            "servers.a.shutdown.graceSeconds",
            "a grace period of 106 s is more than pods get on Spot",
            "use graceSeconds: 105 or less, or machines on demand",
        ),
        (
            on_pool({**SHORT, "shutdown": {"drainSeconds": 89}}, spot=True, gkeVersion=NEW),
            "servers.a.shutdown.drainSeconds",
            "a grace period of 106 s is more than pods get on Spot",
            "use graceSeconds: 105 or less, or machines on demand",
        ),
        (
            on_pool({**SHORT, "shutdown": {"graceSeconds": 30}}, spot=True, gkeVersion="1.34.9"),
            "servers.a.shutdown.graceSeconds",
            f"needs GKE {NEW} or later, and cluster.gkeVersion is 1.34.9",
            "upgrade the cluster, or use graceSeconds: 15 or less",
        ),
        (
            autopilot_stack(**SPOT, shutdown={"graceSeconds": 16}),
            "servers.gemma.shutdown.graceSeconds",
            "a grace period of 16 s is more than pods get on Spot",
            "use graceSeconds: 15 or less, or machines on demand",
        ),
        (
            on_pool({**SHORT, "shutdown": {"graceSeconds": 25}}),
            "servers.a.shutdown.graceSeconds",
            "25 s do not hold 15 s until no new request comes, 1 s for running answers and 10 s to end",
            "use 26 or more",
        ),
        (
            on_pool({**SHORT, "shutdown": {"graceSeconds": 60, "drainSeconds": 40}}),
            "servers.a.shutdown.graceSeconds",
            "60 s do not hold 15 s until no new request comes, 40 s for running answers and 10 s to end",
            "use 65 or more, or lower drainSeconds",
        ),
    ],
    ids=["Spot", "Spot by its drain", "older GKE", "Spot on Autopilot", "too short", "too short for the drain"],
)
def test_what_cannot_be_is_refused_with_what_can(raw: Raw, path: str, what: str, fix: str) -> None:
    problem = only_problem(raw)
    assert (problem.path, problem.what, problem.fix) == (path, what, fix)


def test_a_cluster_whose_version_is_not_known_gets_a_warning() -> None:
    (warning,) = planned(on_pool({**SHORT, "shutdown": {"graceSeconds": 60}}, spot=True)).warnings
    assert (warning.path, warning.what) == ("servers.a.shutdown.graceSeconds", f"needs GKE {NEW} or later")
    assert warning.fix == "set cluster.gkeVersion to what the cluster runs"


@pytest.mark.parametrize(
    ("shutdown", "grace", "warns"),
    [({"graceSeconds": 600}, 600, False), ({"graceSeconds": 601}, 601, True), ({"drainSeconds": 900}, 925, True)],
)
def test_what_the_autoscaler_does_not_wait_for_is_a_warning(shutdown: Raw, grace: int, *, warns: bool) -> None:
    plan = planned(on_pool({**SHORT, "shutdown": shutdown}))
    assert plan.servers[0].shutdown.grace_seconds == grace
    found = [one.what for one in plan.warnings]
    assert found == ([f"{grace} s to end are more than the 600 s that the autoscaler gives a pod"] if warns else [])


WITHOUT_ROOFS = CATALOG.model_copy(
    update={"read_performance": lambda: CATALOG.performance.model_copy(update={"gpus": {}})}
)


@pytest.mark.parametrize(
    ("server", "catalog", "basis", "token_ms"),
    [
        ({}, CATALOG, "predicted", 105),
        ({"objectives": {"tpot": {"milliseconds": 40}}}, CATALOG, "predicted", 105),
        ({"objectives": {"tpot": {"milliseconds": 40}}}, WITHOUT_ROOFS, "stated", 40),
        ({}, WITHOUT_ROOFS, "assumed", 100),
    ],
)
@pytest.mark.parametrize(("limit", "tokens"), [({"maxOutputTokens": 256}, 256), ({}, 4096)])
def test_the_longest_answer_is_its_tokens_times_the_time_of_one(
    server: Raw, catalog: Catalog, basis: str, token_ms: float, limit: Raw, tokens: int
) -> None:
    raw = on_pool({**QWEN, "maxModelLen": 4096, "allowSlow": True, **limit, **server})
    longest = plan_stack(parse_settings(raw), IDENTITY, catalog).servers[0].shutdown.longest
    assert (longest.basis, longest.tokens) == (basis, tokens)
    assert longest.token_ms == pytest.approx(token_ms, rel=0.1)
    assert longest.seconds == pytest.approx(1.5 * tokens * longest.token_ms / 1000, abs=1)


def test_extra_arguments_may_not_set_what_the_plan_decides() -> None:
    problem = only_problem(on_pool({**QWEN, "extraArgs": ["--shutdown-timeout=30"]}))
    assert problem.what == "--shutdown-timeout cannot be set in extraArgs"
    assert problem.fix == "set shutdown.drainSeconds instead"


def test_the_plan_says_what_is_cut() -> None:
    cut, whole = only_server(on_pool(QWEN)).shutdown, only_server(on_pool(SHORT)).shutdown
    assert cut.summary == "15 s until no new request comes, then 570 s for running answers; killed after 595 s"
    assert cut.may_cut
    assert cut.longest_summary.endswith("(predicted); those over 570 s may be cut")
    assert not whole.may_cut
    assert "cut" not in whole.longest_summary
    old = only_server(on_pool({**SHORT, "version": "0.10.0"})).shutdown
    assert old.summary == "75 s for running answers, which SIGTERM cuts; killed after 85 s"
    deaf = only_server(on_pool({**SHORT, "server": "tgi", "version": "2.3.1"})).shutdown
    assert deaf.summary == "75 s for running answers, as SIGTERM does not reach the server; killed after 85 s"


@PROPERTY
@given(
    server=st.sampled_from(["vllm", "tgi"]),
    version=st.integers(0, 9),
    spot=st.booleans(),
    drain=st.none() | st.integers(1, 700),
    grace=st.none() | st.integers(5, 700),
    tokens=st.none() | st.integers(1, 4000),
)
def test_whatever_is_asked_is_refused_or_adds_up(
    server: str, version: int, *, spot: bool, drain: int | None, grace: int | None, tokens: int | None
) -> None:
    versions = ["0.6.0", "0.10.0", "0.17.1", "0.18.0", "0.26.0"] if server == "vllm" else ["2.3.1", "3.0.0", "3.3.7"]
    asked = {key: value for key, value in {"drainSeconds": drain, "graceSeconds": grace}.items() if value is not None}
    one: Raw = {**QWEN, "server": server, "version": versions[version % len(versions)], "maxModelLen": 4096}
    one |= {"maxOutputTokens": tokens} if tokens and (server == "vllm" or tokens < 4000) else {}
    outcome = outcome_of(on_pool({**one, "shutdown": asked}, spot=spot, gkeVersion=NEW))
    if not hasattr(outcome, "servers"):
        assert asked
        return
    adds_up(outcome.servers[0].shutdown, spot=spot, drain=drain, grace=grace)


def adds_up(shutdown: ShutdownPlan, *, spot: bool, drain: int | None, grace: int | None) -> None:
    """Every second of the grace period has its use, and endpoints come first."""
    exits = 2 if spot else 10
    assert shutdown.sleep_seconds + shutdown.timeout_seconds + exits <= shutdown.grace_seconds
    endpoints = shutdown.sleep_seconds + shutdown.timeout_seconds - shutdown.answer_seconds
    assert endpoints == (min(15, shutdown.grace_seconds // 3) if spot else 15)
    assert shutdown.timeout_seconds == 0 or shutdown.after == "waits"
    assert shutdown.grace_seconds <= (105 if spot else 710)
    assert drain in (None, shutdown.answer_seconds)
    assert grace in (None, shutdown.grace_seconds)


@pytest.mark.parametrize(
    ("server", "spot", "expected"),
    [
        (SHORT, False, (30, 60, 100)),
        (QWEN, False, (30, 540, 580)),
        ({**SHORT, "version": "0.24.0"}, False, (30, 60, 100)),
        ({**SHORT, "version": "0.10.0"}, False, (90, 0, 100)),
        (SHORT, True, (5, 8, 15)),
        ({**SHORT, "shutdown": {"graceSeconds": 105}}, True, (30, 73, 105)),
    ],
    ids=["vLLM", "long answers", "0.24", "0.10", "Spot", "longer Spot"],
)
def test_a_load_balancer_learns_later_than_the_cluster(
    server: Raw, expected: tuple[int, int, int], *, spot: bool
) -> None:
    assert (
        times(on_pool({**server, "exposure": "internal", "hostname": "a.test"}, spot=spot, gkeVersion=NEW)) == expected
    )


@pytest.mark.parametrize(("version", "works"), [("1.29.9-gke.1", False), ("1.30", True), ("1.30.0-gke.1", True)])
def test_a_cluster_whose_pods_cannot_sleep_is_refused(version: str, *, works: bool) -> None:
    raw = on_pool(SHORT, gkeVersion=version)
    if works:
        assert times(raw) == (15, 60, 85)
        return
    problem = only_problem(raw)
    assert (problem.path, problem.fix) == ("cluster.gkeVersion", "upgrade the cluster")
    assert problem.what == "1.29.9-gke.1 is before 1.30, from which pods can sleep before they end"
