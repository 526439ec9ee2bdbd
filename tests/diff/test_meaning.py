"""What a change means to a reviewer: capacity that is gone, protection that is lost, what is open, other names."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from gke_llm_inference.diff.compare import compare, everything_added
from gke_llm_inference.diff.effects import effects_of
from gke_llm_inference.diff.plan_changes import plan_changes
from gke_llm_inference.diff.plans import StackFacts, facts_of
from gke_llm_inference.diff.render_markdown import render_markdown
from gke_llm_inference.diff.render_text import render_text
from gke_llm_inference.diff.report import Report, StackReport
from gke_llm_inference.diff.summary import summary_of
from gke_llm_inference.diff.wording import render_quotes
from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.settings import Refusal
from tests.diff.corpus import AUTOPILOT, CASES, STANDARD
from tests.diff.support import recordings_of_corpus
from tests.diff.test_compare import IN_TURN, cluster, pool, recording, resource, server
from tests.diff.test_plan_changes import changed, document_of, facts
from tests.support import DEPLOYMENT, INFERENCE_SERVER, SERVICE, Recordings

FIREWALL = "gcp:compute/firewall:Firewall"
GATEWAY = "kubernetes:gateway.networking.k8s.io/v1:Gateway"
MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"


def report_of(base: Recording | None, head: Recording) -> StackReport:
    if base is None:
        added = everything_added(head)
        return StackReport("prod", "no base", added, effects_of(added, head, StackFacts()))
    comparison = compare(base, head)
    return StackReport("prod", "compared", comparison, effects_of(comparison, head, StackFacts()))


def sign_of(base: Recording | None, head: Recording) -> str:
    """The sign of the stack in the table of the comment."""
    text = render_markdown(Report("p", "head", "base", (report_of(base, head),)))
    (row,) = [line for line in text.splitlines() if line.startswith("| `prod`")]
    return row.split("|")[2].split()[0]


def verdict_of(base: Recording, head: Recording) -> str:
    return summary_of(report_of(base, head)).verdict


def lines_of(base: Recording | None, head: Recording) -> list[str]:
    return [render_quotes(line.text) for line in summary_of(report_of(base, head)).lines]


# Capacity


@pytest.mark.parametrize(
    ("before", "after", "sign", "said"),
    [
        (1, 0, "🔴", "scales from 1 to 0 pods: nothing serves its requests any more"),
        (7, 0, "🔴", "scales from 7 to 0 pods: nothing serves its requests any more"),
        (None, 0, "🔴", "scales from 1 to 0 pods: nothing serves its requests any more"),
        (4, 1, "🟠", "scales from 4 to 1 pods: 25% of the capacity is left"),
        (3, None, "🟠", "scales from 3 to 1 pods: 33% of the capacity is left"),
        (1, 4, "🟢", "scales from 1 to 4 pods; the pods that run stay"),
        (0, 1, "🟢", "scales from 0 to 1 pods; the pods that run stay"),
        ("[unknown]", 0, "🟢", "scales from [unknown] to 0 pods"),
    ],
)
def test_another_number_of_pods(before: Any, after: Any, sign: str, said: str) -> None:
    base, head = (recording(*server(IN_TURN, number)) for number in (before, after))
    assert (sign_of(base, head), any(said in line for line in lines_of(base, head))) == (sign, True)
    assert ("capacity to zero" in verdict_of(base, head)) == (sign == "🔴")


def test_a_number_of_pods_that_is_ignored_is_kept() -> None:
    component, deployment = server(IN_TURN, 0)
    kept = replace(deployment, options={"ignoreChanges": ["spec.replicas"]})
    assert sign_of(recording(*server(IN_TURN, 1)), recording(component, kept)) == "🟢"


@pytest.mark.parametrize(
    ("scaling", "sign", "said"),
    [
        ({"totalMaxNodeCount": 0}, "🔴", "it may have no node any more: pods of gemma-deployment have nowhere to run"),
        ({"totalMaxNodeCount": 2}, "🟠", "it may have at most 2 nodes (3 before)"),
        ({"totalMaxNodeCount": 4}, "🟢", ""),
    ],
)
def test_another_size_of_a_pool(scaling: Any, sign: str, said: str) -> None:
    base, head = (
        recording(one, *server(IN_TURN)) for one in (pool(), pool(autoscaling={"totalMinNodeCount": 0, **scaling}))
    )
    assert (sign_of(base, head), any(said in line for line in lines_of(base, head))) == (sign, True)


# Protection


@pytest.mark.parametrize(
    ("before", "after", "sign"),
    [
        ({"deletionProtection": True}, {"deletionProtection": False}, "🟠"),
        ({"deletionProtection": None}, {"deletionProtection": False}, "🟠"),
        ({"deletionProtection": False}, {"deletionProtection": True}, "🟢"),
        ({"deletionProtection": True}, {"deletionProtection": None}, "🟢"),
    ],
)
def test_protection_of_a_cluster(before: Any, after: Any, sign: str) -> None:
    base, head = recording(cluster(**before)), recording(cluster(**after))
    assert sign_of(base, head) == sign
    assert (verdict_of(base, head) == "protection lost") == (sign == "🟠")


@pytest.mark.parametrize(
    ("type_", "before", "after"),
    [
        ("gcp:sql/databaseInstance:DatabaseInstance", {"deletionProtection": True}, {"deletionProtection": False}),
        ("gcp:filestore/instance:Instance", {"deletionProtectionEnabled": True}, {"deletionProtectionEnabled": False}),
        ("kubernetes:storage.k8s.io/v1:StorageClass", {"reclaimPolicy": "Retain"}, {"reclaimPolicy": "Delete"}),
        ("gcp:storage/bucket:Bucket", {"forceDestroy": False}, {"forceDestroy": True}),
    ],
)
def test_protection_of_other_resources(type_: str, before: Any, after: Any) -> None:
    lines = lines_of(recording(resource(type_, "x", before)), recording(resource(type_, "x", after)))
    told = ("is lost", "is deleted with", "deletes what it holds")
    assert any(text in line for line in lines for text in told)


def test_protection_by_options() -> None:
    base, head = recording(resource(SERVICE, "x", protect=True)), recording(resource(SERVICE, "x"))
    assert (sign_of(base, head), verdict_of(base, head)) == ("🟠", "protection lost")
    assert sign_of(head, base) == "🟢"
    kept = recording(resource(SERVICE, "x", options={"retainOnDelete": True}))
    assert verdict_of(kept, head) == "protection lost"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"hostIPC": True}),
        ({}, {"hostNetwork": True}),
        ({"securityContext": {"runAsNonRoot": True}}, {"securityContext": {}}),
    ],
)
def test_pods_that_may_do_more(before: Any, after: Any) -> None:
    def stack(more: Any) -> Recording:
        component, deployment = server(IN_TURN)
        inputs = copy.deepcopy(deployment.inputs)
        inputs["spec"]["template"]["spec"].update(more)
        return recording(component, replace(deployment, inputs=inputs))

    assert "pods less restricted" in verdict_of(stack(before), stack(after))
    assert "pods less restricted" not in verdict_of(stack(after), stack(before))


# Who can reach it


def networks(*ranges: str, **more: Any) -> dict[str, Any]:
    return {
        "controlPlaneEndpointsConfig": {"ipEndpointsConfig": {"enabled": True}},
        "masterAuthorizedNetworksConfig": {"cidrBlocks": [{"cidrBlock": one} for one in ranges], **more},
        "privateClusterConfig": {"enablePrivateNodes": True, "enablePrivateEndpoint": False},
    }


CLOSED = {
    "controlPlaneEndpointsConfig": {"ipEndpointsConfig": {"enabled": False}},
    "privateClusterConfig": {"enablePrivateNodes": True, "enablePrivateEndpoint": True},
}
OPEN = "control plane open to the internet"


@pytest.mark.parametrize(
    ("inputs", "verdict", "sign"),
    [
        (networks("192.0.2.0/24", "0.0.0.0/0"), OPEN, "🔴"),
        (networks("0.0.0.0/1", "128.0.0.0/1"), OPEN, "🔴"),
        (networks("32.0.0.0/4"), OPEN, "🔴"),
        (networks("::/0"), OPEN, "🔴"),
        (networks("2000::/3"), OPEN, "🔴"),
        (networks("192.0.2.0/24", gcpPublicCidrsAccessEnabled=True), OPEN, "🔴"),
        ({**networks(), "masterAuthorizedNetworksConfig": None}, OPEN, "🔴"),
        (networks("192.0.2.0/24", "198.51.100.0/24"), "control plane open to more", "🟠"),
        (networks("10.0.0.0/8", "192.0.2.0/24"), "control plane open to more", "🟠"),
        (networks(), "changes in place", "🟢"),
        (CLOSED, "changes in place", "🟢"),
    ],
)
def test_who_may_reach_the_control_plane(inputs: Any, verdict: str, sign: str) -> None:
    base, head = recording(cluster(**networks("192.0.2.0/24"))), recording(cluster(**inputs))
    assert (verdict_of(base, head), sign_of(base, head)) == (verdict, sign)
    assert OPEN not in verdict_of(head, base)


def test_a_control_plane_that_gets_an_address() -> None:
    base, head = recording(cluster(**CLOSED)), recording(cluster(**networks("192.0.2.0/24")))
    assert (verdict_of(base, head), sign_of(base, head)) == ("control plane open to more", "🟠")
    assert "may reach its control plane: 192.0.2.0/24" in lines_of(base, head)[0]


def test_what_was_open_before_is_not_told_again() -> None:
    base = recording(cluster(**networks("0.0.0.0/0")))
    head = recording(cluster(**networks("0.0.0.0/0"), releaseChannel={"channel": "RAPID"}))
    assert (verdict_of(base, head), sign_of(base, head)) == ("changes in place", "🟢")


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (resource(SERVICE, "x", {"spec": {"type": "LoadBalancer"}}), "it can be reached from the internet"),
        (
            resource(GATEWAY, "x", {"spec": {"gatewayClassName": "gke-l7-regional-external-managed"}}),
            "for what its routes",
        ),
        (
            resource(GATEWAY, "x", {"spec": {"gatewayClassName": "gke-l7-rilb", "listeners": [{"protocol": "HTTP"}]}}),
            "it listens without TLS",
        ),
        (resource(FIREWALL, "x", {"sourceRanges": ["0.0.0.0/0"]}), "it lets in the internet: 0.0.0.0/0"),
        (resource(MEMBER, "x", {"member": "allUsers", "role": "roles/storage.objectViewer"}), "to everybody: allUsers"),
        (cluster(**networks("0.0.0.0/0")), "its control plane is open to the internet: 0.0.0.0/0 is among"),
        (cluster(privateClusterConfig={"enablePrivateEndpoint": True}), "its nodes have addresses on the internet"),
    ],
)
def test_what_is_new_and_open_is_marked(new: Resource, said: str) -> None:
    for base in (recording(), None):
        assert sign_of(base, recording(new)) == "🔴"
        assert any(said in line for line in lines_of(base, recording(new)))


def test_a_terminal_has_a_mark_too() -> None:
    base = recording(cluster(**networks("192.0.2.0/24")), *named("gemma"))
    head = recording(cluster(**networks("0.0.0.0/0"), deletionProtection=True), *named("chat", replicas=0))
    text = render_text(Report("p", "head", "base", (report_of(base, head),)))
    assert "  X gke (" in text
    assert max(map(len, text.split("Properties")[0].splitlines())) <= 80


# Other names


def named(name: str, model: str = "google/gemma-7b-it", gpus: str = "2", replicas: int = 3) -> list[Resource]:
    component = resource(INFERENCE_SERVER, name, custom=False)
    metadata = {"name": name, "namespace": "llm"}
    container = {"name": "c", "args": [model, "--port=8000"], "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    pod = {"containers": [container], "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}
    spec = {"replicas": replicas, "template": {"metadata": {"labels": {"ai.gke.io/model": model}}, "spec": pod}}
    return [
        component,
        resource(DEPLOYMENT, f"{name}-deployment", {"metadata": metadata, "spec": spec}, component),
        resource(SERVICE, f"{name}-service", {"metadata": metadata, "spec": {"ports": [{"port": 8000}]}}, component),
    ]


def test_a_server_with_another_name() -> None:
    base, head = recording(*named("gemma")), recording(*named("chat"))
    assert verdict_of(base, head) == "a server has another name, 3 resources removed"
    lines = {line.split(" ")[0]: line for line in lines_of(base, head)}
    assert lines["chat-deployment"].endswith(
        "is new; it is gemma-deployment under another name: both exist for a while, which takes twice the GPUs: "
        "quota and nodes for 6 more nvidia-l4. Without them its pods wait, and the update fails while gemma-deployment "
        "still serves. Its URL changes from http://gemma.llm.svc.cluster.local:8000 to "
        "http://chat.llm.svc.cluster.local:8000: the old one ends with the update"
    )
    assert (
        "is called chat-deployment now: the new server is created before this one is deleted"
        in lines["gemma-deployment"]
    )


def test_only_what_serves_the_same_model_is_the_same() -> None:
    base = recording(*named("a"), *named("b", "org/other"))
    head = recording(*named("c", "org/other"), *named("d", "org/third"))
    told = [line for line in lines_of(base, head) if "under another name" in line]
    assert [line.split(" ")[0] for line in told] == ["c-deployment"]
    assert "it is b-deployment under" in told[0]


def test_a_server_that_stays_has_no_other_name() -> None:
    base, head = recording(*named("a")), recording(*named("a"), *named("b"))
    assert not [line for line in lines_of(base, head) if "under another name" in line]


def test_a_pool_with_another_name() -> None:
    machine = {"machineType": "g2-standard-8", "guestAccelerators": [{"type": "nvidia-l4", "count": 1}]}
    base, head = (
        recording(resource("gcp:container/nodePool:NodePool", name, {"nodeConfig": machine})) for name in ("l4", "ada")
    )
    assert verdict_of(base, head) == "a node pool has another name, 1 resource removed"
    assert any("takes twice the nodes" in line for line in lines_of(base, head))


def test_a_service_that_is_replaced_by_one_at_another_address() -> None:
    base, head = (
        recording(resource(SERVICE, "s", {"metadata": {"name": "s", "namespace": namespace}}))
        for namespace in ("llm", "chat")
    )
    assert any(
        "Its URL changes from http://s.llm.svc.cluster.local to http://s.chat.svc.cluster.local" in line
        for line in lines_of(base, head)
    )


def test_a_renamed_server_of_the_real_program(recordings: Recordings) -> None:
    found = recordings_of_corpus(recordings)
    case = CASES["name of a server"]
    (told,) = [line for line in lines_of(found[case.base], found["name of a server"]) if "under another name" in line]
    assert "quota and nodes for 1 more nvidia-l4" in told
    assert "http://gemma.llm-inference.svc.cluster.local" in told
    assert "http://chat.llm-inference.svc.cluster.local" in told


# Prices


@pytest.mark.parametrize("base", ["autopilot", "standard"])
@pytest.mark.parametrize("region", ["europe-west4", "us-east1", "us-east5", "me-west1", "australia-southeast2"])
def test_a_price_of_another_region_is_never_the_same(base: str, region: str) -> None:
    """us-east1 has the same prices as us-central1; what has none of its own is given those of us-central1."""
    try:
        changes = changed(base, {"cluster.location": region})
    except Refusal as error:  # no such GPU there
        pytest.skip(str(error)[:80])
    assert changes.cost is not None
    assert changes.cost.changes
    assert "as before" not in changes.cost.text
    assert "in us-central1" in render_quotes(changes.cost.before)
    assert f"in {region}" in render_quotes(changes.cost.after)
    for one in changes.servers:
        assert "cost a month" in [row.label for row in one.rows]


def test_prices_of_elsewhere_have_no_difference() -> None:
    before, after = copy.deepcopy(document_of(STANDARD)), copy.deepcopy(document_of(STANDARD))
    after["region"] = "nowhere-west1"
    changes = plan_changes(facts_of(before), facts_of(after))
    assert changes.cost is not None
    assert render_quotes(changes.cost.after).endswith("USD in nowhere-west1, at prices of us-central1")
    assert changes.cost.note == ""


def test_an_older_plan_has_its_region_from_its_cluster() -> None:
    document = document_of(AUTOPILOT)
    del document["region"]
    assert facts_of(document).region is None
    assert facts_of(document, recording(cluster(location="us-central1-b"))).region == "us-central1"
    assert facts_of(document, recording(cluster(location="[unknown]"))).region is None


def test_the_same_region_has_no_name() -> None:
    assert facts(AUTOPILOT).region == "us-central1"
    cost = changed("autopilot", {"servers.gemma.replicas": 2}).cost
    assert cost is not None
    assert "us-central1" not in cost.text
