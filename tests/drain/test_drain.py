"""No answer is cut and no request refused while pods come and go, by the plan's numbers; and what is lost otherwise.

Servers, proxy and clients run as coroutines in simulated time: the same input gives the same counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.drain.clock import simulated
from tests.drain.losses import ANSWERS, GONE_NOTICES, GRACES, NOTICES, VERSIONS, gone, reclaimed, report
from tests.drain.scenes import DELAYS, Stack, new_keys, node_drain, rolling_update, scale_in, under_load
from tests.drain.stand_in import AbortedError, CutError, RefusedError, StandIn, end, stand_in
from tests.planning.support import QWEN, only_server, standard_stack
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gke_llm_inference.planning import ServerPlan, ShutdownPlan
    from tests.drain.traffic import Clients

START = 20.0
SERVERS = {
    "vLLM 0.33": {"version": "0.33.0"},
    "vLLM 0.26": {"version": "0.26.0"},
    "vLLM 0.10": {"version": "0.10.0"},
    "TGI 3.3": {"server": "tgi", "version": "3.3.7"},
    "TGI 3.0": {"server": "tgi", "version": "3.0.0"},
    "TGI 2.3": {"server": "tgi", "version": "2.3.1"},
}


def planned(name: str = "vLLM 0.26", *, nodes: int = 3, pool: dict[str, Any] | None = None, **more: Any) -> ServerPlan:
    """Three replicas on an L4 each, whose answers have at most 256 tokens."""
    server = {**QWEN, "maxModelLen": 4096, "maxOutputTokens": 256, "replicas": 3, **SERVERS[name], **more}
    cluster = {"gkeVersion": "1.35.0-gke.1171000"}
    return only_server(standard_stack({"l4": {"maxNodes": nodes, **(pool or {})}}, {"chat": server}, **cluster))


def lengths(plan: ShutdownPlan) -> list[float]:
    """Short answers, and the longest that the server's limits allow; each pod gets all of them in turn."""
    return [1.0, 5.0, float(plan.longest.seconds), 12.0, 3.0, 8.0, 20.0]


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("nodes", [3, 4], ids=["no spare GPU", "a spare GPU"])
def test_an_update_loses_no_request(name: str, nodes: int) -> None:
    plan = planned(name, nodes=nodes)

    async def run() -> Clients:
        stack = Stack.of(plan.shutdown, 3, DELAYS["service"])
        return await under_load(stack, rolling_update(stack, plan, START), lengths(plan.shutdown))

    clients = simulated(run())
    assert plan.rollout.max_surge == nodes - 3
    assert clients.errors == 0, clients.outcomes
    assert clients.outcomes["answered"] > 300


@pytest.mark.parametrize("name", SERVERS)
def test_fewer_replicas_lose_no_request(name: str) -> None:
    shutdown = planned(name).shutdown

    async def run() -> Clients:
        stack = Stack.of(shutdown, 3, DELAYS["service"])
        return await under_load(stack, scale_in(stack, 1), lengths(shutdown))

    assert simulated(run()).errors == 0


@pytest.mark.parametrize("name", SERVERS)
def test_a_drain_of_every_node_loses_no_request(name: str) -> None:
    shutdown = planned(name).shutdown

    async def run() -> Clients:
        stack = Stack.of(shutdown, 3, DELAYS["service"])
        return await under_load(stack, node_drain(stack, START), lengths(shutdown))

    assert simulated(run()).errors == 0


def lost(shutdown: ShutdownPlan, takes: Sequence[float] | None = None, *, through: str = "service") -> dict[str, int]:
    """What clients see of one pod fewer, while answers take that long."""

    async def run() -> Clients:
        stack = Stack.of(shutdown, 2, DELAYS[through])
        return await under_load(stack, scale_in(stack, 1), takes or lengths(shutdown))

    outcomes = simulated(run()).outcomes
    return {name: count for name, count in sorted(outcomes.items()) if name != "answered"}


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("vLLM 0.26", "aborted"), ("vLLM 0.10", "refused"), ("TGI 3.3", "aborted"), ("TGI 3.0", "aborted")],
)
def test_a_sleep_below_the_delay_of_the_endpoints_loses_requests(name: str, outcome: str) -> None:
    shutdown = planned(name).shutdown
    assert lost(shutdown) == {}
    assert lost(replace(shutdown, sleep_seconds=4))[outcome] > 0


def test_every_second_that_the_sleep_lacks_costs_the_requests_of_that_second() -> None:
    shutdown = planned().shutdown
    counts = {sleep: sum(lost(replace(shutdown, sleep_seconds=sleep)).values()) for sleep in range(0, 15, 3)}
    # Two requests a second, half of them to the pod that goes.
    assert counts == {0: 12, 3: 9, 6: 6, 9: 3, 12: 0}


@pytest.mark.parametrize("name", SERVERS)
def test_a_load_balancer_that_learns_later_costs_nothing_where_the_plan_knows_of_it(name: str) -> None:
    reached = planned(name, exposure="internal", hostname="llm.test").shutdown
    assert lost(reached, through="gateway") == {}
    unknown = planned(name).shutdown
    # Where the sleep is the drain, it is long enough for endpoints anyway.
    assert (lost(unknown, through="gateway") != {}) is (unknown.after == "waits")


def test_without_a_timeout_a_server_that_could_wait_cuts_what_runs() -> None:
    shutdown = planned().shutdown
    assert lost(replace(shutdown, timeout_seconds=0, after="cuts"))["cut"] > 0


def test_a_grace_period_below_both_cuts_what_runs() -> None:
    shutdown = planned().shutdown
    assert lost(replace(shutdown, grace_seconds=shutdown.sleep_seconds + 5))["cut"] > 0


def test_two_minutes_with_fifteen_seconds_of_sleep_were_not_enough_for_versions_that_cut() -> None:
    """What pods got before their times followed from the version."""
    shutdown = planned("vLLM 0.10").shutdown
    assert lost(replace(shutdown, sleep_seconds=15, grace_seconds=120))["cut"] > 0


def test_an_old_server_needs_a_sleep_as_long_as_its_longest_answer() -> None:
    shutdown = planned("vLLM 0.10").shutdown
    longest = shutdown.longest.seconds
    exact = round(DELAYS["service"]) + longest
    assert lost(replace(shutdown, sleep_seconds=exact), [longest]) == {}
    assert lost(replace(shutdown, sleep_seconds=exact - 3), [longest]) == {"cut": 3}


@pytest.mark.parametrize("name", ["vLLM 0.26", "vLLM 0.10"])
@pytest.mark.parametrize(
    ("seconds", "saves"),
    [(15, 8), (30, 18), (60, 43), (105, 88)],
)
def test_what_a_reclaimed_spot_machine_saves(name: str, seconds: int, saves: int) -> None:
    """Where requests stop within the sleep, answers up to `saves` seconds end, and of longer ones some are cut."""
    asked = {"graceSeconds": seconds} if seconds > 15 else {}
    shutdown = planned(name, pool={"provisioning": {"model": "spot"}}, shutdown=asked).shutdown
    assert (shutdown.grace_seconds, shutdown.answer_seconds) == (seconds, saves)
    delay = min(DELAYS["service"], seconds // 3 - 1)

    def reclaimed(longest: float) -> dict[str, int]:
        async def run() -> Clients:
            stack = Stack.of(shutdown, 2, delay)

            async def reclaim() -> None:
                await stack.delete(stack.pods[0], at_most=seconds)

            return await under_load(stack, reclaim(), [1.0, longest, longest, 5.0, longest])

        outcomes = simulated(run()).outcomes
        return {name: count for name, count in outcomes.items() if name != "answered"}

    assert reclaimed(saves) == {}
    cut = reclaimed(saves + 20)
    assert cut.keys() == {"cut"}
    assert cut["cut"] <= 10


def test_a_machine_that_is_gone_at_once_loses_what_ran_and_what_was_sent_until_it_is_noticed() -> None:
    shutdown = planned().shutdown
    noticed = 10.0

    async def counted() -> tuple[int, Clients]:
        stack = Stack.of(shutdown, 2, DELAYS["service"])
        seen: list[int] = []

        async def loss() -> None:
            pod = stack.pods[0]
            await asyncio.sleep(0.25)
            seen.append(stack.lose(pod))
            await asyncio.sleep(noticed)
            stack.pods.remove(pod)
            stack.proxy.follow(stack.pods)

        clients = await under_load(stack, loss(), lengths(shutdown))
        return seen[0], clients

    running, clients = simulated(counted())
    assert running > 0
    assert clients.outcomes["cut"] == running
    # One request a second goes to that pod.
    assert clients.outcomes["refused"] == noticed + DELAYS["service"]
    assert clients.errors == running + 22


def test_what_a_reclaimed_or_lost_machine_costs_is_what_the_docs_say() -> None:
    """`python -m tests.drain` prints it."""
    assert report() in (REPOSITORY / "docs" / "operations.md").read_text("utf-8")


@pytest.mark.parametrize("version", VERSIONS.values())
@pytest.mark.parametrize("seconds", ANSWERS)
@pytest.mark.parametrize("noticed", NOTICES)
def test_fifteen_seconds_never_save_more_than_the_longest_grace(version: str, seconds: int, noticed: int) -> None:
    short, long = (reclaimed(version, grace, seconds, noticed=noticed) for grace in GRACES)
    assert long.cut <= short.cut
    assert long.later <= short.later
    # One request a second goes to the pod until it is noticed, and what ran then may be lost at most.
    assert short.cut + short.later <= short.running + noticed


@pytest.mark.parametrize("seconds", ANSWERS)
@pytest.mark.parametrize("noticed", [*NOTICES, *GONE_NOTICES.values()])
def test_a_machine_that_is_gone_costs_what_ran_and_what_was_sent_until_it_was_noticed(
    seconds: int, noticed: int
) -> None:
    losses = gone(seconds, noticed=noticed)
    assert (losses.cut, losses.later) == (losses.running, noticed)


OLD, NEW = "old", "new"


def rotated(
    name: str,
    steps: Sequence[tuple[str, ...]],
    *,
    keys: Sequence[str],
    then: Sequence[str],
    tries: int = 1,
    keeps_pod: bool = False,
) -> Clients:
    """Clients with `keys`, which get those of `then` after the first step of a change of keys."""
    plan = planned(name, nodes=4)

    async def run() -> Clients:
        stack = Stack.of(plan.shutdown, 3, DELAYS["service"], (OLD,))

        async def scene(clients: Clients) -> None:
            for step in steps:
                await new_keys(stack, plan, step, START)
                # Every load balancer has learnt of the last pod.
                await asyncio.sleep(DELAYS["gateway"])
                clients.keys = then

        return await under_load(stack, scene, lengths(plan.shutdown), keys=keys, tries=tries, keeps_pod=keeps_pod)

    return simulated(run())


def test_keys_that_change_in_two_steps_refuse_no_request() -> None:
    """Where a server reads several keys."""
    clients = rotated("vLLM 0.33", [(NEW, OLD), (NEW,)], keys=[OLD], then=[NEW])
    assert clients.errors == 0, clients.outcomes
    assert clients.outcomes["answered"] > 300
    assert clients.tried.keys() == {1}


def test_keys_that_change_in_one_step_refuse_some() -> None:
    clients = rotated("vLLM 0.33", [(NEW,)], keys=[OLD], then=[NEW])
    assert clients.outcomes["unauthorized"] > 10


@pytest.mark.parametrize("name", ["TGI 3.3", "vLLM 0.26"])
@pytest.mark.parametrize(("keeps_pod", "tries"), [(True, 2), (False, 5)], ids=["one connection", "a load balancer"])
def test_where_a_server_reads_one_key_clients_that_try_both_lose_nothing(
    name: str, tries: int, *, keeps_pod: bool
) -> None:
    """One more try is enough on the same connection; else the next try may reach a pod that knows the first key."""

    def change(tries: int) -> Clients:
        return rotated(name, [(NEW,)], keys=[OLD, NEW], then=[NEW, OLD], tries=tries, keeps_pod=keeps_pod)

    clients = change(tries)
    assert clients.errors == 0, clients.outcomes
    assert clients.tried[2] > 10
    assert max(clients.tried) == tries
    assert change(tries - 1).outcomes["unauthorized"] > 10


def test_a_stand_in_that_waits_is_healthy_while_it_drains_and_aborts_what_comes() -> None:
    async def run() -> list[str]:
        server = StandIn("waits", 30)
        running = asyncio.ensure_future(server.answer(10))
        await asyncio.sleep(1)
        ending = asyncio.ensure_future(server.terminate())
        await asyncio.sleep(1)
        said = ["healthy" if server.is_healthy else "gone"]
        with pytest.raises(AbortedError):
            await server.answer(1)
        await running
        await ending
        said.append("healthy" if server.is_healthy else "gone")
        with pytest.raises(RefusedError):
            await server.answer(1)
        return said

    assert simulated(run()) == ["healthy", "gone"]


@pytest.mark.parametrize(("after", "cut"), [("cuts", True), ("ignores", False)])
def test_a_stand_in_of_an_older_server_cuts_or_goes_on(after: Any, *, cut: bool) -> None:
    async def run() -> bool:
        server = StandIn(after, 0)
        running = asyncio.ensure_future(server.answer(10))
        await asyncio.sleep(1)
        await server.terminate()
        try:
            await running
        except CutError:
            return True
        return False

    assert simulated(run()) is cut


def test_a_pod_ends_as_soon_as_its_last_answer_has() -> None:
    async def run() -> float:
        plan = planned().shutdown
        server = stand_in(plan)
        await end(server, plan)
        return asyncio.get_running_loop().time()

    assert simulated(run()) == pytest.approx(15, abs=0.1)
