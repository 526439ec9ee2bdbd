"""Servers that share a GPU: what each takes must be free when it starts, whoever else is on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.planning.support import only_problem, planned, problems_of, standard_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw

SMALL = {"server": "vllm", "model": "google/gemma-3-1b-it", "maxModelLen": 2048}


def shared(strategy: str, clients: int, **servers: Raw) -> Raw:
    """One pool of two L4s whose GPUs are shared; each server is the small one with changes."""
    pool = {"sharing": {"strategy": strategy, "maxClients": clients}, "maxNodes": 2, "machineType": "g2-standard-32"}
    return standard_stack({"l4": pool}, {name: {**SMALL, **changes} for name, changes in servers.items()})


def share(value: float, **changes: Any) -> Raw:
    return {"gpuMemoryUtilization": value, **changes}


def test_two_servers_that_each_take_most_of_one_gpu_are_refused_with_the_share_that_fits() -> None:
    first, second = problems_of(shared("timeSharing", 2, one={}, two={}))
    assert (first.path, second.path) == ("servers.one.gpuMemoryUtilization", "servers.two.gpuMemoryUtilization")
    assert first.what.startswith("takes 21.54 GiB of a shared GPU of which 0.49 GiB may be free")
    assert "pods of two may run on the same GPU" in first.why
    assert first.fix == "set gpuMemoryUtilization to 0.44 for every server of the pool, or remove nodePools.l4.sharing"
    planned(shared("timeSharing", 2, one=share(0.44), two=share(0.44)))


def test_a_pod_that_is_alone_on_its_pool_may_take_the_whole_gpu() -> None:
    planned(shared("timeSharing", 2, one={}))


def test_replicas_share_with_each_other() -> None:
    problem = only_problem(shared("timeSharing", 2, one={"replicas": 2}))
    assert problem.path == "servers.one.gpuMemoryUtilization"
    assert "pods of one may run on the same GPU" in problem.why


@pytest.mark.parametrize("small", [0.2, 0.3])
def test_a_large_and_a_small_server_share_as_long_as_both_find_room(small: float) -> None:
    raw = shared("timeSharing", 2, large=share(0.65), small=share(small))
    if small == 0.2:
        planned(raw)
    else:
        assert {problem.path.split(".")[1] for problem in problems_of(raw)} == {"large", "small"}


def test_only_the_largest_others_that_may_be_on_the_same_gpu_count() -> None:
    planned(shared("timeSharing", 2, a=share(0.44), b=share(0.44), c=share(0.44)))
    assert problems_of(shared("timeSharing", 3, a=share(0.44), b=share(0.44), c=share(0.44)))


def test_mps_gives_an_equal_part_even_to_a_pod_that_is_alone() -> None:
    problem = only_problem(shared("mps", 2, one={}))
    assert problem.why == "MPS gives each of 2 pods an equal part"
    assert "of which 11.02 GiB may be free" in problem.what
    planned(shared("mps", 2, one=share(0.44)))


def test_what_no_share_makes_fit_says_so() -> None:
    problem = only_problem(shared("mps", 2, one={"model": "google/gemma-7b-it"}))
    assert problem.fix.endswith("no gpuMemoryUtilization makes it fit an equal part")


def test_allowed_it_is_a_warning() -> None:
    plan = planned(shared("mps", 2, one={"allowUnfit": True}))
    assert [warning.path for warning in plan.warnings] == ["servers.one.gpuMemoryUtilization"]


def test_an_update_surges_only_where_the_new_pod_finds_memory_beside_the_old() -> None:
    def surge(raw: Raw) -> int:
        (server,) = planned(raw).servers
        return server.rollout.max_surge

    assert surge(shared("timeSharing", 2, one=share(0.44))) == 1
    assert surge(shared("timeSharing", 2, one=share(0.9))) == 0
