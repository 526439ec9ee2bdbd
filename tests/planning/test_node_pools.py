"""Settings of a node pool that Google would reject are refused, whatever runs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.planning.support import (
    GEMMA,
    only_pool,
    only_problem,
    planned,
    standard_stack,
)

if TYPE_CHECKING:
    from tests.settings.support import Raw


RTX = {"type": "nvidia-rtx-pro-6000"}


@pytest.mark.parametrize(
    ("pool", "path", "what", "fix"),
    [
        (
            {"accelerator": {"type": "nvidia-14"}},
            "accelerator.type",
            "nvidia-14 is not a GPU of the catalog",
            "did you mean nvidia-l4?",
        ),
        (
            {"accelerator": {"type": "nvidia-tesla-v100"}},
            "accelerator.type",
            "nvidia-tesla-v100 is not a GPU of the catalog",
            "did you mean nvidia-tesla-a100?",
        ),
        (
            {"accelerator": {"type": "nvidia-h200-141gb", "count": 8}, "diskType": "hyperdisk-balanced"},
            "provisioning.model",
            "a3-ultragpu-8g is not available with onDemand",
            "use reservation",
        ),
        (
            {"accelerator": {"type": "nvidia-tesla-t4"}, "provisioning": {"model": "flexStart"}},
            "provisioning.model",
            "n1-standard-4 is not available with flexStart",
            "use onDemand",
        ),
        (
            {"accelerator": {"type": "nvidia-tesla-t4"}, "diskType": "hyperdisk-balanced"},
            "diskType",
            "n1-standard-4 does not boot from hyperdisk-balanced",
            "use pd-balanced",
        ),
        (
            {"accelerator": {"type": "nvidia-rtx-pro-6000"}, "diskType": "hyperdisk-balanced"},
            "zones",
            "the zones of us-central1 that have nvidia-rtx-pro-6000 are not known",
            "give those that gcloud compute accelerator-types list --filter=name=nvidia-rtx-pro-6000 shows",
        ),
        ({"accelerator": {"count": 3}}, "accelerator.count", "no machine has 3 × nvidia-l4", "use 4"),
        ({"accelerator": {"count": 16}}, "accelerator.count", "no machine has 16 × nvidia-l4", "use 8"),
        (
            {"accelerator": {"count": 3}, "machineType": "g2-standard-8"},
            "accelerator.count",
            "no machine has 3 × nvidia-l4",
            "use 4",
        ),
        (
            {"accelerator": {"count": 2}, "machineType": "g2-standard-8"},
            "machineType",
            "g2-standard-8 has 1 × nvidia-l4, not 2 × nvidia-l4",
            "use one of: g2-standard-24",
        ),
        (
            {"machineType": "a2-highgpu-1g"},
            "machineType",
            "a2-highgpu-1g has 1 × nvidia-tesla-a100, not 1 × nvidia-l4",
            "use one of: g2-standard-4, g2-standard-8, g2-standard-12, g2-standard-16, g2-standard-32",
        ),
        (
            {"machineType": "g2-standard-20"},
            "machineType",
            "g2-standard-20 is not a GPU machine of the catalog",
            "did you mean g2-standard-",
        ),
        (
            {"machineType": "n2-standard-8"},
            "machineType",
            "n2-standard-8 is not a GPU machine of the catalog",
            "did you mean g2-standard-8?",
        ),
        (
            {"secondaryBootDisks": [{"image": "global/images/a"}, {"image": "global/images/b"}]},
            "secondaryBootDisks",
            "a pool has one at most, not 2",
            "keep one, with everything on it",
        ),
        ({"localSsds": 2}, "localSsds", "g2-standard-4 takes at most 1 local SSDs", "use 1 or fewer"),
        (
            {"provisioning": {"model": "flexStart"}, "minNodes": 1},
            "minNodes",
            "must be 0 with flexStart",
            "remove minNodes",
        ),
        (
            {"accelerator": {"type": "nvidia-h100-80gb"}},
            "provisioning.model",
            "a3-highgpu-1g is not available with onDemand",
            "use spot, or a machine with 8 GPUs",
        ),
        (
            {
                "accelerator": {"type": "nvidia-h100-80gb", "count": 4},
                "provisioning": {"model": "reservation", "name": "held"},
            },
            "provisioning.model",
            "a3-highgpu-4g is not available with reservation",
            "use spot, or a machine with 8 GPUs",
        ),
        (
            {"taints": [{"key": "team", "value": "ml"}, {"key": "nvidia.com/gpu", "value": "present"}]},
            "taints[1].key",
            "belongs to GKE",
            "use a key of your own",
        ),
    ],
)
def test_a_pool_that_google_would_reject_is_refused(pool: Raw, path: str, what: str, fix: str) -> None:
    raw = standard_stack({"good": {}, "bad": pool}, {"gemma": {**GEMMA, "nodePool": "good"}})
    problem = only_problem(raw)
    assert (problem.path, problem.what) == (f"nodePools.bad.{path}", what)
    assert problem.fix.startswith(fix)


def test_zones_that_a_stack_gives_are_taken_where_none_is_known() -> None:
    gpu = {"accelerator": {"type": "nvidia-rtx-pro-6000"}, "diskType": "hyperdisk-balanced"}
    raw = standard_stack({"rtx": {**gpu, "zones": ["us-central1-b"]}}, {"gemma": {**GEMMA, "accelerator": RTX}})
    pool = only_pool(raw)
    assert (pool.zones, pool.machine_type, pool.driver_version) == (("us-central1-b",), "g4-standard-48", "latest")


def test_local_ssds_of_a_machine_of_which_they_are_not_known_are_a_warning() -> None:
    t4 = {"accelerator": {"type": "nvidia-tesla-t4"}, "localSsds": 1}
    plan = planned(standard_stack({"l4": {}, "t4": t4}, {"gemma": GEMMA}))
    (warning,) = [one for one in plan.warnings if one.path == "nodePools.t4.localSsds"]
    assert warning.what == "how many local SSDs n1-standard-4 takes is not known"


def test_a_taint_of_another_domain_that_ends_alike_is_ones_own() -> None:
    pool = {"taints": [{"key": "bigke.io/team", "value": "ml"}]}
    assert only_pool(standard_stack({"l4": pool}, {"gemma": GEMMA})).name == "l4"


@pytest.mark.parametrize(("key", "value"), [("", "ml"), ("a b", "ml"), ("team", "a b")])
def test_a_taint_that_kubernetes_would_reject_is_refused(key: str, value: str) -> None:
    pool = {"taints": [{"key": key, "value": value}]}
    problem = only_problem(standard_stack({"l4": pool}, {"gemma": GEMMA}))
    assert problem.path == f"nodePools.l4.taints[0].{'value' if key == 'team' else 'key'}"
    assert problem.what == "does not have the right form"


def test_nodes_that_must_stay_on_spot_machines_are_a_warning() -> None:
    pool = {"provisioning": {"model": "spot"}, "minNodes": 1}
    (warning,) = planned(standard_stack({"l4": pool}, {"gemma": {**GEMMA, "maxModelLen": 4096}})).warnings
    assert (warning.path, warning.what) == ("nodePools.l4.minNodes", "is not guaranteed on Spot VMs (preemption)")
