"""A cluster that is replaced: everything on it goes with it and comes back, in one update."""

import pytest

from tests.engine.support import Bench
from tests.engine.test_lifecycle import AUTOPILOT, standard, up

OTHER_NETWORK = "{mode: existing, network: n, subnetwork: s, podsRange: p, servicesRange: s}"
CHANGES = {
    "another location": standard().replace("us-central1", "europe-west4"),
    # Project, location and name stay, and so does the provider's `clusterIdentifier`.
    "another network": standard().replace("location: us", f"network: {OTHER_NETWORK}, location: us"),
    # Its node pools go with it and do not come back.
    "another mode": AUTOPILOT,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_on_a_replaced_cluster_goes_before_it_and_comes_back(bench: Bench, change: str) -> None:
    up(bench, standard())
    before = bench.identities()
    changed = CHANGES[change]
    steps = up(bench, changed).steps
    after = bench.identities()
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert bench.deployment()["status"]["readyReplicas"] == 1
    # What is on the cluster goes while it still answers, then its pools, then the cluster.
    deleted = [name for operation, name in steps if operation in ("delete-replaced", "delete")]
    on_it = ("gemma-account", "gemma-deployment", "gemma-service", "hugging-face-secret", "llm-inference")
    last = max(deleted.index(name) for name in on_it)
    assert last < deleted.index("l4") < deleted.index("gke-system") < deleted.index("gke-cluster")
    assert up(bench, changed).steps == []
    bench.run(bench.stack(changed).destroy)
    assert bench.cloud.resources == {}
    assert bench.empty()
