"""Planning takes time in proportion to the servers of a stack, whatever they ask and wherever they run."""

from __future__ import annotations

import cProfile
import math
import pstats
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning.bin_packing import nodes_for
from gke_llm_inference.planning.capacity import Capacity
from tests.planning.support import GEMMA, QWEN, outcome_of, standard_stack
from tests.settings.support import PROPERTY, Raw, autopilot_stack

if TYPE_CHECKING:
    from collections.abc import Callable


def l4(gpus: int = 1, **pool: object) -> Raw:
    return {"accelerator": {"type": "nvidia-l4", "count": gpus}, "maxNodes": 1000, "diskSizeGb": 500, **pool}


def servers(count: int, **settings: object) -> Raw:
    return {f"s{index:05d}": {**QWEN, "maxModelLen": 2048, **settings} for index in range(count)}


def autopilot(count: int) -> Raw:
    return {**autopilot_stack(), "servers": servers(count)}


def one_pool(count: int) -> Raw:
    return standard_stack({"l4": l4(8)}, servers(count))


def no_room(count: int) -> Raw:
    return standard_stack({"l4": l4(maxNodes=2)}, servers(count))


def ten_pools(count: int) -> Raw:
    return standard_stack({f"l4-{index}": l4(maxNodes=max(1, count // 10)) for index in range(10)}, servers(count))


def pools_as_servers(count: int) -> Raw:
    return standard_stack({f"l4-{index:04d}": l4(maxNodes=4) for index in range(count // 4)}, servers(count))


def shared(count: int) -> Raw:
    pool = l4(sharing={"strategy": "timeSharing", "maxClients": 48})
    return standard_stack({"l4": pool}, servers(count, gpuMemoryUtilization=0.9, allowUnfit=True))


def all_different(count: int) -> Raw:
    different = {
        key: {**server, "resources": {"cpu": round(1 + index / 10_000, 4), "memoryGib": 8 + index % 24}}
        for index, (key, server) in enumerate(servers(count).items())
    }
    return standard_stack({"l4": l4(8), "more": l4(8)}, different)


def unfit(count: int) -> Raw:
    gemmas = {key: {**GEMMA, "allowUnfit": False} for key in servers(count)}
    return standard_stack({"l4": l4()}, gemmas)


def loaded(count: int) -> Raw:
    return standard_stack({"l4": l4(8)}, servers(count, workload={"profile": "code", "requestRate": 0.1}))


def too_slow(count: int) -> Raw:
    return standard_stack({"l4": l4(8)}, servers(count, objectives={"tpot": {"milliseconds": 1}}, allowSlow=True))


def calls(raw: Raw) -> int:
    profile = cProfile.Profile()
    profile.enable()
    outcome_of(raw)
    profile.disable()
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "shape",
    [autopilot, one_pool, no_room, ten_pools, pools_as_servers, shared, all_different, unfit, loaded, too_slow],
)
def test_four_times_the_servers_take_four_times_the_work(shape: Callable[[int], Raw]) -> None:
    outcome_of(shape(4))
    few, many = calls(shape(60)), calls(shape(240))
    assert many <= 4.6 * few


CAPACITIES = st.builds(
    Capacity,
    gpus=st.sampled_from([1, 1, 2, 4, 8]),
    cpu_millicores=st.integers(1, 8).map(lambda vcpus: 1000 * vcpus),
    memory_mib=st.integers(1, 8).map(lambda gib: 1024 * gib),
    disk_gib=st.integers(0, 4).map(float),
)


@PROPERTY
@given(
    pods=st.lists(CAPACITIES, max_size=40),
    room=st.sampled_from(
        [
            Capacity(gpus=8, cpu_millicores=32_000, memory_mib=32_768, disk_gib=math.inf),
            Capacity(gpus=48, cpu_millicores=16_000, memory_mib=20_480, disk_gib=10.0),
            Capacity(gpus=1, cpu_millicores=8000, memory_mib=8192, disk_gib=4.0),
        ]
    ),
)
def test_nodes_are_those_of_placing_pods_one_by_one(pods: list[Capacity], room: Capacity) -> None:
    assert nodes_for(pods, room) == one_by_one(pods, room)


def one_by_one(pods: list[Capacity], room: Capacity) -> int | None:
    nodes: list[Capacity] = []
    for pod in sorted(pods, reverse=True):
        place = next((index for index, node in enumerate(nodes) if pod.fits(node)), None)
        if place is None:
            if not pod.fits(room):
                return None
            nodes.append(room)
            place = len(nodes) - 1
        nodes[place] = pod.taken_from(nodes[place])
    return len(nodes)
