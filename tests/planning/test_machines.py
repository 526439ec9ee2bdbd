"""What a machine leaves for pods, and which machine is the cheapest that holds a pod."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning.capacity import Capacity
from gke_llm_inference.planning.machines import (
    boot_disk_for_gib,
    boot_disk_room_gib,
    candidates,
    cheapest_machine,
    gpu_counts,
    holds,
    node_allocatable,
    room_for_pods,
)
from tests.planning.support import CATALOG
from tests.settings.support import PROPERTY

ALLOCATABLE = {
    # machine: vCPU, GiB
    "g2-standard-4": (3.92, 13.01),
    "g2-standard-8": (7.91, 27.80),
    "g2-standard-12": (11.90, 42.59),
    "g2-standard-16": (15.89, 57.38),
    "g2-standard-24": (23.87, 86.96),
    "g2-standard-32": (31.85, 116.66),
    "g2-standard-48": (47.81, 178.38),
    "g2-standard-96": (95.69, 363.54),
}
ALLOCATABLE_ROUNDED = {
    "a2-highgpu-1g": (11.9, 76.8),
    "a2-ultragpu-1g": (11.9, 157.2),
    "a3-highgpu-1g": (25.9, 218.9),
    "a3-highgpu-8g": (207.4, 1798.5),
}
L4_BY_PRICE = ["g2-standard-4", "g2-standard-8", "g2-standard-12", "g2-standard-16", "g2-standard-32"]


@pytest.mark.parametrize(("machine", "published"), ALLOCATABLE.items(), ids=ALLOCATABLE)
def test_a_g2_node_offers_what_is_published(machine: str, published: tuple[float, float]) -> None:
    offered = node_allocatable(CATALOG.machine_types[machine], CATALOG)
    assert offered.cpu_millicores / 1000 == pytest.approx(published[0], abs=0.01)
    assert offered.memory_mib / 1024 == pytest.approx(published[1], abs=0.01)


@pytest.mark.parametrize(("machine", "published"), ALLOCATABLE_ROUNDED.items(), ids=ALLOCATABLE_ROUNDED)
def test_an_a2_or_a3_node_offers_what_is_published(machine: str, published: tuple[float, float]) -> None:
    offered = node_allocatable(CATALOG.machine_types[machine], CATALOG)
    assert offered.cpu_millicores / 1000 == pytest.approx(published[0], abs=0.06)
    assert offered.memory_mib / 1024 == pytest.approx(published[1], abs=0.06)


def test_gkes_own_pods_come_off_what_a_node_offers() -> None:
    machine = CATALOG.machine_types["g2-standard-8"]
    offered, room = node_allocatable(machine, CATALOG), room_for_pods(machine, CATALOG)
    assert offered.cpu_millicores - room.cpu_millicores == 600
    assert offered.memory_mib - room.memory_mib == 1229


def test_a_machine_holds_exactly_its_room_and_nothing_more() -> None:
    machine = CATALOG.machine_types["g2-standard-8"]
    room = room_for_pods(machine, CATALOG)
    assert holds(machine, room, CATALOG)
    assert not holds(machine, Capacity(cpu_millicores=room.cpu_millicores + 1, memory_mib=room.memory_mib), CATALOG)
    assert not holds(machine, Capacity(cpu_millicores=room.cpu_millicores, memory_mib=room.memory_mib + 1), CATALOG)


def test_candidates_stand_in_the_order_of_their_price() -> None:
    assert candidates("nvidia-l4", 1, CATALOG) == L4_BY_PRICE
    assert candidates("nvidia-l4", 2, CATALOG) == ["g2-standard-24"]
    assert candidates("nvidia-l4", 3, CATALOG) == []
    assert candidates("nvidia-l40", 1, CATALOG) == []


@pytest.mark.parametrize("accelerator", CATALOG.accelerators)
def test_every_gpu_is_sold_in_powers_of_two(accelerator: str) -> None:
    counts = {"nvidia-h200-141gb": [8], "nvidia-b200": [8], "nvidia-tesla-t4": [1, 2, 4]}
    assert gpu_counts(accelerator, CATALOG) == counts.get(accelerator, [1, 2, 4, 8])


@pytest.mark.parametrize(
    ("cpu", "gib", "machine"),
    [
        (2, 8, "g2-standard-4"),
        (3.3, 11, "g2-standard-4"),
        (3.4, 11, "g2-standard-8"),
        (2, 12, "g2-standard-8"),
        (4, 14, "g2-standard-8"),
        (8, 14, "g2-standard-12"),
        (4, 27, "g2-standard-12"),
        (4, 56, "g2-standard-16"),
        (16, 14, "g2-standard-32"),
        (31, 115, "g2-standard-32"),
        (32, 1, None),
        (1, 116, None),
    ],
)
def test_the_cheapest_machine_that_holds_a_pod_is_found(cpu: float, gib: int, machine: str | None) -> None:
    assert (
        cheapest_machine("nvidia-l4", 1, Capacity(cpu_millicores=round(cpu * 1000), memory_mib=gib * 1024), CATALOG)
        == machine
    )


@given(
    accelerator=st.sampled_from(sorted(CATALOG.accelerators)),
    gpus=st.sampled_from([1, 2, 4, 8]),
    cpu=st.integers(0, 220_000),
    memory=st.integers(0, 2_000_000),
)
@PROPERTY
def test_a_pod_fits_the_machine_that_is_found_and_no_cheaper_one(
    accelerator: str, gpus: int, cpu: int, memory: int
) -> None:
    need = Capacity(cpu_millicores=cpu, memory_mib=memory)
    found = cheapest_machine(accelerator, gpus, need, CATALOG)
    names = candidates(accelerator, gpus, CATALOG)
    fitting = [name for name in names if holds(CATALOG.machine_types[name], need, CATALOG)]
    assert found == (fitting[0] if fitting else None)


@pytest.mark.parametrize(
    ("accelerator", "gpus"),
    [
        pytest.param(accelerator, gpus, id=f"{gpus} x {accelerator}")
        for accelerator, facts in CATALOG.accelerators.items()
        for gpus in facts.autopilot_maxima
    ],
)
def test_a_machine_holds_whatever_autopilot_admits(accelerator: str, gpus: int) -> None:
    maximum = CATALOG.accelerators[accelerator].autopilot_maxima[gpus]
    assert cheapest_machine(
        accelerator, gpus, Capacity(cpu_millicores=maximum.cpu * 1000, memory_mib=maximum.memory_gib * 1024), CATALOG
    )


@pytest.mark.parametrize(("disk", "room"), [(50, 16.3), (100, 43.8), (200, 98.8), (500, 344.8)])
def test_a_boot_disk_leaves_pods_what_gke_documents(disk: int, room: float) -> None:
    assert boot_disk_room_gib(disk, CATALOG) == pytest.approx(room, abs=0.05)


@pytest.mark.parametrize(("need", "disk"), [(1, 20), (16, 50), (17, 60), (28, 80), (43, 100), (44, 110), (102, 210)])
def test_the_smallest_boot_disk_that_holds_a_need_is_found(need: float, disk: int) -> None:
    assert boot_disk_for_gib(need, CATALOG) == disk


@given(need=st.integers(0, 20_000))
@PROPERTY
def test_a_boot_disk_holds_the_need_that_it_was_chosen_for(need: int) -> None:
    size = boot_disk_for_gib(need, CATALOG)
    assert boot_disk_room_gib(size, CATALOG) >= need
    assert boot_disk_room_gib(size - 10, CATALOG) < need
