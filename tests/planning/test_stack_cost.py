"""What a whole stack costs agrees with sums by hand; what has no price is named, and the total says "at least"."""

from __future__ import annotations

from typing import Any

import pytest

from gke_llm_inference.catalog.cost_facts import read_cost_facts
from gke_llm_inference.cli.cost_report import stack_cost_document, stack_cost_lines
from gke_llm_inference.cli.plan_report import stack_text
from gke_llm_inference.planning.stack_cost import NOT_COUNTED, StackCost, stack_cost
from tests.planning.support import CATALOG, QWEN, existing_stack, planned, standard_stack
from tests.settings.support import autopilot_stack

FEE = 0.10
SMALL = {**QWEN, "maxModelLen": 4096}


def cost_of(raw: Any) -> StackCost:
    return stack_cost(planned(raw), CATALOG)


def part(cost: StackCost, start: str) -> float | None:
    (found,) = [one.cost.hourly_usd for one in cost.parts if one.title.startswith(start)]
    return found


def test_a_stack_on_autopilot_costs_at_least_its_machines_and_the_clusters_fee() -> None:
    cost = cost_of(autopilot_stack(replicas=3))
    # 3 × g2-standard-8: a GPU of 0.56004 and 8 vCPU of 0.036698 each.
    machines = 3 * round(0.56004 + 8 * 0.036698, 4)
    assert part(cost, "pods of gemma: 3 × g2-standard-8") == pytest.approx(machines)
    assert cost.total.hourly_usd == pytest.approx(machines + FEE) == pytest.approx(2.6608)
    assert cost.total.idle_hourly_usd == pytest.approx(FEE)
    assert cost.is_least
    assert next(stack_cost_lines(cost)) == "Stack costs at least 2.66 USD an hour, 1,942 a month, 73 idle"


def test_a_standard_stack_costs_its_nodes_their_disks_the_cpu_pool_and_the_fee() -> None:
    pool = {"machineType": "g2-standard-12", "minNodes": 1}
    cost = cost_of(standard_stack({"l4": pool}, {"qwen": SMALL}, location="europe-west4"))
    machine = round(0.58863 + 12 * 0.0385714, 4)
    cpu_pool = 2 * 4 * 0.29508816 / 8
    disk = 200 * 0.11 / 730
    assert part(cost, "node pool l4: 1 × g2-standard-12") == machine == 1.0515
    assert part(cost, "CPU pool: 2 × e2-standard-4") == pytest.approx(cpu_pool)
    assert part(cost, "boot disks of the CPU pool: 200 GB of pd-balanced") == pytest.approx(disk)
    assert part(cost, "boot disks of l4: 200 GB of pd-balanced a node") == pytest.approx(disk)
    assert (
        cost.total.hourly_usd == pytest.approx(machine + cpu_pool + 2 * disk + FEE) == pytest.approx(1.5069, abs=5e-5)
    )
    assert cost.total.idle_hourly_usd == cost.total.hourly_usd
    assert not cost.is_least
    assert next(stack_cost_lines(cost)).startswith("Stack costs 1.51 USD an hour")


def test_what_has_no_price_is_named_and_the_rest_is_the_least() -> None:
    pools = {
        "l4": {"machineType": "g2-standard-8", "provisioning": {"model": "spot"}, "localSsds": 1},
        "h200": {
            "accelerator": {"type": "nvidia-h200-141gb", "count": 8},
            "provisioning": {"model": "reservation", "name": "held"},
            "diskType": "hyperdisk-balanced",
            "zones": ["us-west1-c"],
        },
    }
    cost = cost_of(standard_stack(pools, {"qwen": SMALL}, location="us-west1"))
    machine = round(0.3359 + 8 * 0.022014, 4)
    cpu_pool = 2 * 4 * 0.26804568 / 8
    boot, ssd = 200 * 0.1 / 730, 375 * 0.048 / 730
    assert part(cost, "node pool l4: 1 × g2-standard-8") == machine
    assert part(cost, "local SSDs of l4: 375 GB a node") == pytest.approx(ssd)
    assert part(cost, "node pool h200") is None
    assert part(cost, "boot disks of h200") is None
    total = machine + ssd + boot + cpu_pool + boot + FEE
    assert cost.total.hourly_usd == pytest.approx(total) == pytest.approx(0.9595, abs=5e-5)
    assert cost.is_least
    lines = list(stack_cost_lines(cost))
    assert lines[0].startswith("Stack costs at least 0.96 USD an hour")
    assert "  node pool h200: 0 × a3-ultragpu-8g: no price known of a3-ultragpu-8g in us-west1" in lines
    assert lines[-1] == f"  not counted: {'; '.join(NOT_COUNTED)}"


@pytest.mark.parametrize(
    ("cluster", "gateway", "total"),
    [
        ({"kubeconfigContext": "local"}, {}, "0.00 USD an hour, 0 a month, 0 idle"),
        (
            {"profile": "standard", "name": "theirs", "location": "us-central1"},
            {
                "gateway": {
                    "exposure": "internal",
                    "hostname": "llm.example.com",
                    "proxySubnet": {"mode": "existing", "cidr": "10.129.0.0/23"},
                }
            },
            "0.03 USD an hour, 18 a month, 18 idle",
        ),
    ],
)
def test_gpus_on_nodes_of_others_are_named_and_not_counted(cluster: Any, gateway: Any, total: str) -> None:
    servers: dict[str, Any] = {
        "qwen": {**SMALL, "replicas": 3},
        "wide": {**SMALL, "accelerator": {"type": "nvidia-l4", "count": 2}},
    }
    if gateway:
        servers["wide"]["exposure"] = "none"
    lines = list(stack_cost_lines(cost_of({**existing_stack(servers, **cluster), **gateway})))
    assert lines[0] == f"Stack costs at least {total}"
    unpriced = "no price known of nodes that the stack does not make"
    assert lines[1:3] == [
        f"  pods of qwen: 3 × nvidia-l4: {unpriced}",
        f"  pods of wide: 1 × 2 nvidia-l4: {unpriced}",
    ]


def test_commitments_are_those_of_the_source() -> None:
    def committed(machine: str, region: str) -> tuple[float, float]:
        found = read_cost_facts().committed(machine, CATALOG.machine_types[machine], region)
        assert found is not None
        return found

    # Months of the source, of 730 hours: g2-standard-12 and -24 are not what its parts were worked out from.
    assert committed("g2-standard-12", "us-central1") == pytest.approx(
        (460.09144542 / 730, 328.63672535 / 730), abs=1e-4
    )
    assert committed("g2-standard-24", "me-central2") == pytest.approx(
        (1472.29276784 / 730, 1051.63762624 / 730), abs=1e-4
    )
    assert committed("a2-highgpu-2g", "us-central1") == pytest.approx(
        (3378.7422784 / 730, 1877.13415596 / 730), abs=1e-3
    )
    assert committed("g4-standard-384", "us-central1") == pytest.approx((18133.2 / 730, 11559.988 / 730), abs=1e-3)
    assert read_cost_facts().committed("n1-standard-8", CATALOG.machine_types["n1-standard-8"], "us-central1") is None


def test_a_pool_on_demand_says_what_commitments_make_of_it_and_others_do_not() -> None:
    def document(pool: Any) -> dict[str, Any]:
        return stack_cost_document(cost_of(standard_stack({"l4": pool}, {"qwen": SMALL})))

    own = document({"machineType": "g2-standard-8"})
    assert (own["oneYearGpuHourlyUsd"], own["threeYearsGpuHourlyUsd"]) == (0.5378, 0.3841)
    spot = document({"machineType": "g2-standard-8", "provisioning": {"model": "spot"}})
    assert (spot["oneYearGpuHourlyUsd"], spot["threeYearsGpuHourlyUsd"]) == (None, None)


def test_an_endpoint_picker_is_on_the_cpu_pool_or_a_pod_without_a_price() -> None:
    gateway = {"exposure": "internal", "hostname": "llm.example.com", "routing": "inferenceGateway"}
    server = {**SMALL, "replicas": 2}
    plain, picked = (
        cost_of(
            {**standard_stack({"l4": {"maxNodes": 2}}, {"chat": server}), "gateway": {**gateway, "routing": routing}}
        )
        for routing in ("service", "inferenceGateway")
    )
    assert picked == plain
    cost = cost_of(
        {"cluster": {"mode": "autopilot", "location": "us-central1"}, "gateway": gateway, "servers": {"chat": server}}
    )
    (found,) = [one for one in cost.parts if one.title.startswith("endpoint picker")]
    assert (found.title, found.cost.hourly_usd, found.cost.note) == (
        "endpoint picker of chat: 0.75 vCPU, 1 GiB",
        None,
        "no price known of Autopilot's pods without a GPU",
    )


def test_what_is_priced_is_not_said_to_be_left_out() -> None:
    gateway = {"exposure": "internal", "hostname": "llm.example.com"}
    raw = {**standard_stack({"l4": {"maxNodes": 2}}, {"chat": SMALL}), "gateway": gateway}
    text = stack_text(planned(raw), CATALOG)
    assert "GPUs cost 0.85 USD an hour, 623 a month, 0 idle\n" in text
    assert "load balancers: 1 of them: 0.0250 USD an hour" in text
    assert "GPUs: no price known (Autopilot bills" in stack_text(planned(autopilot_stack()), CATALOG)


def test_the_first_rules_of_load_balancers_cost_the_same_together() -> None:
    price = read_cost_facts().load_balancer
    assert [price.of(rules) for rules in (0, 1, 5, 6, 8)] == pytest.approx([0, 0.025, 0.025, 0.035, 0.055])


def test_commitments_and_disks_are_cheaper_than_what_they_replace() -> None:
    facts = read_cost_facts()
    for name, machine in CATALOG.machine_types.items():
        for region in CATALOG.accelerators[machine.accelerator].zones:
            found, prices = facts.committed(name, machine, region), CATALOG.price(name, region)[0]
            if found is not None:
                assert prices is not None
                assert found[1] < found[0] < prices.on_demand
    for region, price in facts.local_ssds.items():
        assert price.spot < price.on_demand, region
    assert all(facts.disks["pd-balanced"][region] < price for region, price in facts.disks["pd-ssd"].items())
