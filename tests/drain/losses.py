"""What clients lose when a machine goes, counted in simulated time; `python -m tests.drain` prints the tables."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.drain.clock import simulated
from tests.drain.scenes import EVERY, Stack, under_load
from tests.planning.support import QWEN, only_server, standard_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gke_llm_inference.planning import ServerPlan
    from tests.drain.traffic import Clients

GRACES = (15, 105)
"""Seconds that pods of a Spot machine get: GKE's default, and the most, of the 120 s of a node pool of the plan."""
VERSIONS = {"vLLM from 0.18": "0.26.0", "vLLM before 0.18": "0.10.0"}
ANSWERS = (5, 8, 15, 30, 60, 88, 120)
NOTICES = (5, 10, 15, 20)
"""Seconds until nobody sends requests to the machine any more: until Kubernetes sees that its node is about to end,
which it looks for every 5 s, and until all who send requests have heard of it."""
GONE_NOTICES = {"a Service, whose node is given up after 50 s": 62, "a load balancer, by its health checks": 15}
"""The same for a machine that is gone at once: 50 s by Kubernetes' own default from 1.32 on and then `DELAYS`, or
two failed checks of 5 s each, 5 s apart, as the plan's health check says."""
_REPLICAS = 2


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What clients lose of one machine.

    Attributes:
        running: answers that ran when it began.
        cut: answers that did not come to their end, of those and of later ones.
        later: requests that were sent to it and got no answer.

    """

    running: int
    cut: int
    later: int


def spot_server(version: str, grace: int) -> ServerPlan:
    """A server on Spot machines, with the longest grace period asked for or none."""
    server = {**QWEN, "version": version, "maxModelLen": 4096, "maxOutputTokens": 256, "replicas": _REPLICAS}
    asked = {"shutdown": {"graceSeconds": grace}} if grace > min(GRACES) else {}
    pool = {"maxNodes": _REPLICAS, "provisioning": {"model": "spot"}}
    raw = standard_stack({"l4": pool}, {"chat": {**server, **asked}}, gkeVersion="1.35.0-gke.1171000")
    return only_server(raw)


def _counted(plan: ServerPlan, seconds: float, noticed: float, event: Callable[[Stack], None]) -> Losses:
    """What is lost of constant requests, one a second to each of two pods, when something happens to one of them."""

    async def run() -> tuple[int, Clients]:
        stack = Stack.of(plan.shutdown, _REPLICAS, 0.0)
        running = 0

        async def happens() -> None:
            nonlocal running
            # Between two requests.
            await asyncio.sleep(EVERY / 2)
            running = stack.pods[0].running
            event(stack)
            await asyncio.sleep(noticed)

        clients = await under_load(stack, happens(), [seconds])
        return running, clients

    running, clients = simulated(run())
    outcomes = clients.outcomes
    return Losses(running=running, cut=outcomes["cut"], later=outcomes["aborted"] + outcomes["refused"])


def reclaimed(version: str, grace: int, seconds: float, *, noticed: float) -> Losses:
    """What is lost when Google takes a Spot machine back.

    Args:
        version: vLLM's.
        grace: seconds that its pods get.
        seconds: what each answer takes.
        noticed: seconds until nobody sends requests to it any more.

    """

    def event(stack: Stack) -> None:
        stack.reclaim(stack.pods[0], seconds=grace, noticed=noticed)

    return _counted(spot_server(version, grace), seconds, noticed, event)


def gone(seconds: float, *, noticed: float) -> Losses:
    """What is lost when a machine is gone at once."""

    def event(stack: Stack) -> None:
        stack.lose(stack.pods.pop(0))
        asyncio.get_running_loop().call_later(noticed, stack.proxy.follow, tuple(stack.pods))

    return _counted(spot_server(VERSIONS["vLLM from 0.18"], min(GRACES)), seconds, noticed, event)


def report() -> str:
    """All of it as Markdown: one pod of two, one request a second to each."""
    kinds = [(title, version, grace) for title, version in VERSIONS.items() for grace in GRACES]
    columns = [f"{title}, {grace} s" for title, _, grace in kinds]
    running = [
        [f"{seconds} s", str(ran[0].running), *(str(one.cut) for one in ran)]
        for seconds in ANSWERS
        if (ran := [reclaimed(version, grace, seconds, noticed=10) for _, version, grace in kinds])
    ]
    later = [
        [f"{noticed} s", *(str(reclaimed(version, grace, 5, noticed=noticed).later) for _, version, grace in kinds)]
        for noticed in NOTICES
    ]
    at_once = [
        [title, f"{noticed} s", *(_sum(gone(seconds, noticed=noticed)) for seconds in (5, 30, 120))]
        for title, noticed in GONE_NOTICES.items()
    ]
    return "\n\n".join(
        [
            _table(["answers of", "ran", *columns], running),
            _table(["requests stop after", *columns], later),
            _table(["requests by", "stop after", *(f"answers of {seconds} s" for seconds in (5, 30, 120))], at_once),
        ]
    )


def _sum(losses: Losses) -> str:
    return f"{losses.cut} + {losses.later}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
