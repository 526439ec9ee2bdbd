"""How many requests each pod is to have: what its KV cache holds, and what its objectives allow."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gke_llm_inference.planning.memory import MemoryPlan, requests_at_once

if TYPE_CHECKING:
    from gke_llm_inference.catalog.memory_facts import MemoryFacts
    from gke_llm_inference.planning.performance.plan import PerformancePlan

# A pod that is full already has no room for what comes while another one starts: Google's advice is to aim a little
# below the largest batch, and a replica is given the same share of its highest load (`HEADROOM` of performance).
_SHARE = 0.8


@dataclass(frozen=True, kw_only=True)
class Room:
    """Requests that a pod answers at once.

    Attributes:
        requests: as many, one at least.
        tokens: tokens of a request that this is for.
        is_of_workload: whether requests have so many tokens by the stack's workload, rather than the whole context.
        bound: what allows no more, as a clause.

    """

    requests: int
    tokens: int
    is_of_workload: bool
    bound: str


def room_of(memory: MemoryPlan, performance: "PerformancePlan | None", facts: "MemoryFacts") -> Room:
    """What a pod has room for.

    With a workload requests have its mean length, else they fill the context: the KV cache holds so many of them in
    any case. The server's own limit of requests at once bounds both.

    Args:
        memory: the server's memory plan.
        performance: its speed under its workload; None where none is stated.
        facts: facts about memory.

    """
    tokens = memory.limits.max_model_len
    if memory.request.pooling:
        most = memory.limits.max_num_seqs
        return Room(requests=most, tokens=tokens, is_of_workload=False, bound="as the server answers no more at once")
    if performance is not None:
        workload = performance.workload
        tokens = min(tokens, max(1, math.ceil(workload.mean_input + workload.mean_output)))
    held = math.floor(requests_at_once(memory, tokens, facts))
    of = f"so many requests of {tokens:,} tokens"
    if memory.limits.max_num_seqs < held:
        return Room(
            requests=memory.limits.max_num_seqs,
            tokens=tokens,
            is_of_workload=performance is not None,
            bound="as the server answers no more at once",
        )
    return Room(
        requests=max(1, held),
        tokens=tokens,
        is_of_workload=performance is not None,
        bound=f"as the KV cache holds {of}",
    )


def running_target(room: Room, performance: "PerformancePlan | None") -> tuple[int, str]:
    """Running requests to aim at, and why: a share of what there is room for, or of what the objectives allow."""
    most, bound = room.requests, room.bound
    allowed = None if performance is None else in_flight(performance)
    if allowed is not None and allowed < most:
        most, bound = allowed, "as the highest load within the objectives has at once"
    return max(1, math.floor(_SHARE * most)), f"{_SHARE:.0%} of {most:,}, {bound}"


def waiting_target(performance: "PerformancePlan | None", usual: int) -> tuple[int, str]:
    """Waiting requests to aim at, and why: what a pod takes in before the first of them misses its time.

    Args:
        performance: the server's speed; None where it is not asked for.
        usual: what to begin with where no objective says how long a request may wait.

    """
    ttft = performance.objectives.ttft if performance is not None else None
    if performance is None or performance.highest is None or ttft is None:
        return usual, "what Google advises to begin with; objectives.ttft gives one of your own"
    taken = math.floor(performance.highest.rate * ttft.milliseconds / 1000)
    return max(1, taken), (
        f"a pod takes in {performance.highest.rate:,.2f} requests a second, and the first token may take "
        f"{ttft.milliseconds:,.0f} ms"
    )


def in_flight(performance: "PerformancePlan") -> int | None:
    """Requests that are answered at once at the highest load within the objectives, by Little's law; None without."""
    highest = performance.highest
    if highest is None or not performance.judgements:
        return None
    if performance.workload.is_closed:
        return max(1, math.floor(highest.load))
    answer_ms = highest.ttft_ms.p50 + performance.workload.mean_output * highest.tpot_ms.p50
    return max(1, math.floor(highest.rate * answer_ms / 1000))
