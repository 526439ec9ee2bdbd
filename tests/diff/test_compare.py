"""Identity over renames, options, what a change causes, and that no secret of either side is shown."""

from dataclasses import replace
from typing import Any

import pytest

from gke_llm_inference.diff.compare import compare
from gke_llm_inference.diff.effects import effects_of
from gke_llm_inference.diff.plans import ServerFacts, StackFacts
from gke_llm_inference.diff.replacement import Verdict, replacements, verdict
from gke_llm_inference.diff.report import masked_comparison
from gke_llm_inference.diff.wording import render_quotes
from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from gke_llm_inference.pulumi_protocol.urn import make_urn
from tests.support import CLUSTER, DEPLOYMENT, INFERENCE_SERVER, NODE_POOL, SECRET

SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"
ROOT = Resource("urn:pulumi:s::p::pulumi:pulumi:Stack::p-s", "pulumi:pulumi:Stack", "p-s", None, custom=False)


def resource(type_: str, name: str, inputs: Any = None, parent: Resource = ROOT, **more: Any) -> Resource:
    urn = make_urn("s", "p", parent.urn, type_, name)
    return Resource(urn, type_, name, parent.urn, more.pop("custom", True), inputs=inputs or {}, **more)


def group(name: str, **more: Any) -> Resource:
    return resource("p:index:Group", name, custom=False, **more)


def recording(*resources: Resource) -> Recording:
    return Recording("p", "s", (ROOT, *resources))


def actions(base: Recording, head: Recording) -> list[tuple[str, str, str]]:
    """Action, former name and name of everything that changes."""
    return [
        (one.action, one.base.name if one.base else "", one.head.name if one.head else "")
        for one in compare(base, head).resources
    ]


@pytest.mark.parametrize(
    "alias",
    [
        {"name": "old"},
        "urn:pulumi:s::p::test:index:T::old",
        {"name": "old", "type": "test:index:T"},
        {"name": "old", "parentUrn": ROOT.urn},
        {"name": "old", "noParent": True},
    ],
)
def test_an_alias_makes_a_rename(alias: Any) -> None:
    base = recording(resource("test:index:T", "old", {"a": 1}))
    head = recording(resource("test:index:T", "new", {"a": 2}, aliases=(alias,)))
    (change,) = compare(base, head).resources
    assert (change.action, change.base and change.base.name, change.resource.name) == ("renamed", "old", "new")
    assert [one.text for one in change.properties] == ["a"]


def test_without_an_alias_it_is_another_resource() -> None:
    base, head = recording(resource("test:index:T", "old")), recording(resource("test:index:T", "new"))
    assert sorted(actions(base, head)) == [("added", "", "new"), ("removed", "old", "")]


def test_children_follow_a_renamed_component() -> None:
    old, new = group("old"), group("new", aliases=({"name": "old"},))
    base = recording(old, resource("test:index:T", "old-part", parent=old), resource("test:index:T", "x", parent=old))
    head = recording(new, resource("test:index:T", "new-part", parent=new), resource("test:index:T", "x", parent=new))
    # The URN of x holds the type of its parent, not its name: it is the same.
    assert sorted(actions(base, head)) == [("renamed", "old", "new"), ("renamed", "old-part", "new-part")]


def test_children_follow_a_component_of_another_type() -> None:
    old = resource("p:index:Old", "g", custom=False)
    new = resource("p:index:New", "g", custom=False, aliases=({"type": "p:index:Old"},))
    base = recording(old, resource("test:index:T", "g-part", parent=old))
    head = recording(new, resource("test:index:T", "g-part", parent=new))
    assert sorted(actions(base, head)) == [("renamed", "g", "g"), ("renamed", "g-part", "g-part")]


def test_a_urn_beats_an_alias_and_nothing_is_taken_twice() -> None:
    base = recording(resource("test:index:T", "a"))
    alias = ({"name": "a"},)
    head = recording(
        resource("test:index:T", "a"),
        resource("test:index:T", "b", aliases=alias),
        resource("test:index:T", "c", aliases=alias),
    )
    assert actions(base, head) == [("added", "", "b"), ("added", "", "c")]


def test_references_to_what_was_renamed_are_no_change() -> None:
    def stack(name: str, **more: Any) -> Recording:
        provider = resource("pulumi:providers:kubernetes", name, **more)
        return recording(
            provider, resource("test:index:T", "t", provider=provider.urn, options={"deletedWith": provider.urn})
        )

    assert actions(stack("a"), stack("b", aliases=({"name": "a"},))) == [("renamed", "a", "b")]


def test_options_are_compared_but_for_versions_of_plugins() -> None:
    base = recording(
        resource("gcp:x/y:Y", "a", options={"version": "10.1.0"}), resource("gcp:x/y:Y", "b", protect=True)
    )
    head = recording(resource("gcp:x/y:Y", "a", options={"version": "10.2.0"}), resource("gcp:x/y:Y", "b"))
    comparison = compare(base, head)
    (change,) = comparison.resources
    assert [(one.text, one.old, one.new) for one in change.options] == [("protect", True, False)]
    assert [(one.text, one.old, one.new) for one in comparison.plugins] == [("gcp", "10.1.0", "10.2.0")]


def test_an_order_alone_is_noted_but_not_shown() -> None:
    base = recording(resource("test:index:T", "a", {"oauthScopes": ["a", "b"]}))
    head = recording(resource("test:index:T", "a", {"oauthScopes": ["b", "a"]}))
    comparison = compare(base, head)
    assert comparison.resources == ()
    assert [one.name for one in comparison.order_only] == ["a"]


# What changes cause

PLAN = StackFacts(servers={"gemma": ServerFacts(name="gemma", start_seconds=290, image_seconds=240)}, known=True)
LABELS = {"llm-inference/node-pool": "l4"}


def server(strategy: dict[str, Any], replicas: int = 1, image: str = "a", **spec: Any) -> tuple[Resource, Resource]:
    component = resource(INFERENCE_SERVER, "gemma", custom=False)
    pod = {"containers": [{"name": "c", "image": image}], "nodeSelector": LABELS}
    inputs = {
        "metadata": {"name": "gemma", "namespace": "llm"},
        "spec": {"replicas": replicas, "strategy": strategy, "template": {"spec": pod}, **spec},
    }
    return component, resource(DEPLOYMENT, "gemma-deployment", inputs, component)


def pool(**more: Any) -> Resource:
    options = more.pop("options", {})
    inputs = {
        "autoscaling": {"totalMinNodeCount": 1, "totalMaxNodeCount": 3},
        "nodeConfig": {"guestAccelerators": [{"type": "nvidia-l4", "count": 2, "gpuDriver": "A"}], "labels": LABELS},
        **more,
    }
    return resource(NODE_POOL, "l4", inputs, options=options)


def caused(base: Recording, head: Recording) -> list[tuple[str, str]]:
    comparison = compare(base, head)
    effects = effects_of(comparison, head, PLAN)
    return [
        (effect.severity.name, render_quotes(effect.text))
        for change in comparison.resources
        for effect in effects.of(change)
    ]


RECREATE = {"type": "Recreate"}
SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
IN_TURN = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
ALL = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}}


@pytest.mark.parametrize(
    ("strategy", "replicas", "expected"),
    [
        (RECREATE, 1, "restarts its pod (Recreate): down until the new one is ready, about 9 min"),
        (RECREATE, 2, "restarts all 2 pods (Recreate): down until the new one is ready, about 9 min"),
        (IN_TURN, 1, "restarts its pod: down until the new one is ready, about 9 min"),
        (ALL, 2, "restarts all 2 pods: down until the new one is ready, about 9 min"),
        (SURGE, 2, "restarts its pods without downtime: 1 more at a time, ready, about 9 min"),
        (IN_TURN, 3, "restarts its pods 1 at a time: 2 of 3 serve meanwhile, each new one ready, about 9 min"),
        ({}, 3, "restarts its pods a few at a time (maxSurge 25%, maxUnavailable 25%), about 9 min"),
    ],
)
def test_how_pods_restart(strategy: dict[str, Any], replicas: int, expected: str) -> None:
    base, head = server(strategy, replicas), server(strategy, replicas, image="b")
    assert caused(recording(*base), recording(*head)) == [("RESTARTS", expected)]


def test_pods_that_follow_the_load_restart_as_the_fewest_of_them_do() -> None:
    least = StackFacts(servers={"gemma": replace(PLAN.servers["gemma"], least_replicas=3)}, known=True)
    base, head = server(IN_TURN), server(IN_TURN, image="b")
    for _, deployment in (base, head):
        del deployment.inputs["spec"]["replicas"]
    comparison = compare(recording(*base), recording(*head))
    effects = effects_of(comparison, recording(*head), least)
    assert [render_quotes(effect.text) for change in comparison.resources for effect in effects.of(change)] == [
        "restarts its pods 1 at a time: 2 of 3 serve meanwhile, each new one ready, about 9 min"
    ]


def test_what_does_not_restart_pods() -> None:
    base = recording(*server(IN_TURN, 1))
    assert caused(base, recording(*server(IN_TURN, 2))) == [("NOTE", "scales from 1 to 2 pods; the pods that run stay")]
    assert caused(base, recording(*server(IN_TURN, 1, progressDeadlineSeconds=9))) == []
    stopped = recording(*server(IN_TURN, 0, image="b"))
    assert ("NOTE", "changes the pod template; no pod runs (replicas is 0)") in caused(base, stopped)


def driver(**more: Any) -> Resource:
    return pool(
        nodeConfig={"guestAccelerators": [{"type": "nvidia-l4", "count": 2, "gpuDriver": "B"}], "labels": LABELS},
        **more,
    )


def test_a_pool_of_gpus_is_replaced_beside_the_old_one() -> None:
    ((severity, text),) = caused(recording(pool(), *server(RECREATE)), recording(driver(), *server(RECREATE)))
    assert severity == "REPLACED"
    assert text == (
        "is replaced, as this cannot be changed in place: created before the "
        "old one is deleted. While both exist, a second set of GPUs is needed: quota for 2 to 6 more "
        "nvidia-l4; with deleteBeforeReplace, the old pool is deleted first. Then its pods move (gemma-deployment): "
        "each is down until it is ready elsewhere, about 9 min"
    )


def test_a_pool_of_gpus_that_goes_first_takes_its_servers_down() -> None:
    first = driver(options={"deleteBeforeReplace": True})
    base = recording(pool(options={"deleteBeforeReplace": True}), *server(RECREATE))
    ((_, text),) = caused(base, recording(first, *server(RECREATE)))
    assert text.endswith(
        "deleted, then created again. Its nodes are deleted first: gemma-deployment down until new nodes are there, "
        "about 9 min"
    )


def cluster(**more: Any) -> Resource:
    return resource(CLUSTER, "gke", {"name": "c", "location": "a", "deletionProtection": False, **more})


def dependent() -> Resource:
    """A pool whose cluster's name only a deployment knows."""
    return replace(
        resource(NODE_POOL, "system", {"cluster": "[unknown]"}), property_dependencies={"cluster": (cluster().urn,)}
    )


def test_a_cluster_that_is_replaced_takes_everything_with_it() -> None:
    base = recording(cluster(), dependent(), *server(RECREATE))
    ((severity, text),) = caused(base, recording(cluster(location="b"), dependent(), *server(RECREATE)))
    assert severity == "REPLACED"
    assert text == (
        "is replaced, as this cannot be changed in place: deleted, then created again. Everything on the cluster is "
        "gone until it is deployed again; gemma-deployment down until then. Replaced along with it: system"
    )


def test_a_pool_that_changes_with_its_cluster_goes_before_it() -> None:
    of_cluster: dict[str, tuple[str, ...]] = {"cluster": (cluster().urn,)}
    base = recording(cluster(), replace(pool(cluster="[unknown]"), property_dependencies=of_cluster))
    head = recording(cluster(location="b"), replace(driver(cluster="[unknown]"), property_dependencies=of_cluster))
    texts = [text for _, text in caused(base, head)]
    assert (
        "is replaced, as this cannot be changed in place: deleted, then created again. Its nodes are deleted first"
        in texts
    )


def test_what_is_on_a_replaced_cluster_counts_as_replaced() -> None:
    def stack(location: str) -> Recording:
        kubernetes = resource("pulumi:providers:kubernetes", "k", {"clusterIdentifier": f"p/{location}/c"})
        objects = [replace(one, provider=kubernetes.urn) for one in server(IN_TURN)[1:]]
        return recording(cluster(location=location), kubernetes, server(IN_TURN)[0], *objects)

    base, head = stack("a"), stack("b")
    replaced = effects_of(compare(base, head), head, PLAN).replaced
    assert {urn.rpartition("::")[2] for urn in replaced} == {"gke", "k", "gemma-deployment"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, {"releaseChannel": {"channel": "RAPID"}}, [], id="in place"),
        pytest.param(
            {},
            {"somethingNew": 1},
            [("UNCLEAR", "whether Pulumi replaces it for somethingNew is not known")],
            id="unclear",
        ),
        pytest.param(
            {"deletionProtection": True},
            {},
            [
                (
                    "WEAKENED",
                    "deletion protection is lost: a destroy, or a change that replaces it, deletes it, with everything "
                    "on it",
                )
            ],
            id="deletion protection",
        ),
        pytest.param({"enableL4IlbSubsetting": False}, {"enableL4IlbSubsetting": True}, [], id="turned on"),
    ],
)
def test_changes_of_a_cluster(before: Any, after: Any, expected: list[tuple[str, str]]) -> None:
    assert caused(recording(cluster(**before)), recording(cluster(**after))) == expected


REPLACED, IN_PLACE, ROLLING = Verdict.REPLACED, Verdict.IN_PLACE, Verdict.ROLLING


@pytest.mark.parametrize(
    ("type_", "before", "after", "expected"),
    [
        (CLUSTER, {"ipAllocationPolicy": {"stackType": "IPV4"}}, {"ipAllocationPolicy": {"stackType": "X"}}, IN_PLACE),
        (
            CLUSTER,
            {"ipAllocationPolicy": {"additionalPodRangesConfig": {"podRangeNames": ["a"]}}},
            {"ipAllocationPolicy": {"additionalPodRangesConfig": {"podRangeNames": ["b"]}}},
            IN_PLACE,
        ),
        (
            CLUSTER,
            {"ipAllocationPolicy": {"clusterSecondaryRangeName": "a"}},
            {"ipAllocationPolicy": {"clusterSecondaryRangeName": "b"}},
            REPLACED,
        ),
        (CLUSTER, {"nodeConfig": {"machineType": "a"}}, {"nodeConfig": {"machineType": "b"}}, IN_PLACE),
        (CLUSTER, {"nodeConfig": {"spot": False}}, {"nodeConfig": {"spot": True}}, REPLACED),
        (CLUSTER, {"resourceLabels": {"a": "b"}}, {"resourceLabels": {"a": "c"}}, IN_PLACE),
        (CLUSTER, {"rbacBindingConfig": {"a": True}}, {"rbacBindingConfig": {"a": False}}, IN_PLACE),
        (CLUSTER, {"minMasterVersion": "1.33"}, {"minMasterVersion": "1.34"}, IN_PLACE),
        (CLUSTER, {"dnsConfig": {"clusterDns": "a"}}, {"dnsConfig": {"clusterDns": "b"}}, IN_PLACE),
        (NODE_POOL, {"networkConfig": {"podRange": "a"}}, {"networkConfig": {"podRange": "b"}}, REPLACED),
        (
            NODE_POOL,
            {"nodeConfig": {"advancedMachineFeatures": {"threadsPerCore": 1}}},
            {"nodeConfig": {"advancedMachineFeatures": {"threadsPerCore": 2}}},
            REPLACED,
        ),
        (NODE_POOL, {"nodeConfig": {"machineType": "a"}}, {"nodeConfig": {"machineType": "b"}}, ROLLING),
        (SUBNETWORK, {"purpose": "a"}, {"purpose": "b"}, IN_PLACE),
        (SUBNETWORK, {"ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.0.0.0/18"}, IN_PLACE),
        (SUBNETWORK, {"ipCidrRange": "10.0.0.0/18"}, {"ipCidrRange": "10.0.0.0/20"}, REPLACED),
        (SUBNETWORK, {"ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "10.1.0.0/18"}, REPLACED),
        (SUBNETWORK, {"ipCidrRange": "10.0.0.0/20"}, {"ipCidrRange": "[unknown]"}, REPLACED),
    ],
)
def test_what_the_provider_does_with_one_property(type_: str, before: Any, after: Any, expected: Verdict) -> None:
    (change,) = compare(recording(resource(type_, "one", before)), recording(resource(type_, "one", after))).resources
    assert {verdict(change, one) for one in change.properties} == {expected}


def test_what_stands_in_the_way_of_a_replacement_is_said() -> None:
    base = recording(cluster(deletionProtection=True))
    ((_, text), *_) = caused(base, recording(cluster(deletionProtection=True, location="b")))
    assert text.endswith("Deletion protection is on: pulumi up fails until deletionProtection: false is deployed")
    kept = recording(replace(cluster(), protect=True))
    ((_, text),) = caused(kept, recording(replace(cluster(location="b"), protect=True)))
    assert text.endswith("Pulumi refuses to, as it is protected")
    ((_, text),) = caused(kept, recording())
    assert text == "the cluster is deleted, and everything on it. Pulumi refuses to, as it is protected"


def test_ignored_changes_cause_nothing_and_named_ones_replace() -> None:
    ignore = {"ignoreChanges": ["initialNodeCount"]}
    base, head = pool(initialNodeCount=0, options=ignore), pool(initialNodeCount=1, options=ignore)
    assert caused(recording(base), recording(head)) == [("NOTE", "ignoreChanges keeps initialNodeCount as deployed")]
    wanted = {"replaceOnChanges": ["autoscaling"]}
    head = pool(autoscaling={"totalMinNodeCount": 1, "totalMaxNodeCount": 4}, options=wanted)
    ((severity, _),) = caused(recording(pool(options=wanted)), recording(head))
    assert severity == "REPLACED"


def test_a_secret_that_changes_says_what_pods_do() -> None:
    def secret(key: str) -> Recording:
        return recording(resource(SECRET, "s", {"metadata": {"name": "s"}, "stringData": {key: "[secret]"}}))

    assert caused(secret("a"), secret("b")) == [
        (
            "REPLACED",
            "is replaced, as this cannot be changed in place: deleted, then created again. "
            "A pod that starts in between waits for it",
        ),
        ("NOTE", "pods that run keep the old content until they restart"),
    ]


def test_a_secret_of_either_side_is_masked_on_both() -> None:
    token = "hf_pLaNtEdToKeNpLaNtEdToKeN"
    base = recording(resource("test:index:T", "a", {"env": f"x {token}", "same": token}))
    head = recording(resource("test:index:T", "a", {"env": "[secret]", "same": "[secret]"}))
    masker = SecretMasker()
    masker.add(token)
    (change,) = masked_comparison(compare(base, head), masker.mask_value).resources
    assert [(one.text, one.old, one.new) for one in change.properties] == [
        ("env", "x [secret]", "[secret]"),
        ("same", "[secret]", "[secret]"),
    ]
    assert token not in repr(change)


@pytest.mark.parametrize("mutable", [True, False, None])
@pytest.mark.parametrize(("key", "replaced"), [("stringData", False), ("data", False), ("type", True)])
def test_data_of_a_secret_replace_it_unless_its_provider_updates_them(
    mutable: bool | None, key: str, replaced: bool
) -> None:
    inputs = {} if mutable is None else {"enableSecretMutable": mutable}
    provider = resource("pulumi:providers:kubernetes", "cluster", inputs)

    def revision(value: str) -> Recording:
        secret = resource("kubernetes:core/v1:Secret", "token", {key: {"a": value}}, provider=provider.urn)
        return recording(provider, secret)

    before, after = revision("old"), revision("new")
    found = replacements(compare(before, after), after)
    assert bool(found.direct) is (replaced or not mutable)
