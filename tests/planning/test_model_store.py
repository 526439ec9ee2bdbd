"""The store of models: its bucket, its Jobs, who reads it, what it costs, and what stands against it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.cli.flows_report import flows_document, flows_text
from gke_llm_inference.cli.model_store_report import model_store_document, model_store_lines
from gke_llm_inference.planning import ModelStorePlan, StackIdentity
from gke_llm_inference.planning.model_store.specs import job_spec, program_text
from gke_llm_inference.planning.stack_cost import stack_cost
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, IDENTITY, QWEN, planned, problems_of, standard_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw

COMMIT = "a" * 40
OTHER = "b" * 40
NUMBER = "123456789012"
MODEL = QWEN["model"]
READS = {**QWEN, "maxModelLen": 4096, "revision": COMMIT, "modelSource": {"source": "modelStore"}}
CREATE = {"bucket": {"mode": "create"}, "projectNumber": NUMBER}
BUCKET = "my-project-gke-llm-inference-test-models"
POOL = (
    f"principal://iam.googleapis.com/projects/{NUMBER}/locations/global/workloadIdentityPools/"
    "my-project.svc.id.goog/subject/ns/llm-inference/sa/"
)


def stack(store: Raw | None = None, *, servers: Raw | None = None, **more: Any) -> Raw:
    raw = standard_stack({"l4": {"maxNodes": 4}}, servers or {"qwen": READS})
    return {**raw, "modelStore": CREATE if store is None else store, **more}


def store_of(raw: Raw, identity: StackIdentity = IDENTITY) -> ModelStorePlan:
    store = planned(raw, identity).model_store
    assert store is not None
    return store


def told(raw: Raw, identity: StackIdentity = IDENTITY) -> list[str]:
    return [f"{one.path}: {one.what}" for one in problems_of(raw, identity)]


def warned(raw: Raw) -> list[str]:
    found = planned(raw).warnings
    return [f"{one.path}: {one.what}" for one in found if one.path.startswith("modelStore")]


def test_there_is_no_store_by_default() -> None:
    assert planned(standard_stack({"l4": {}}, {"qwen": QWEN})).model_store is None


def test_a_store_holds_what_the_servers_read_from_it_each_under_its_commit() -> None:
    store = store_of(stack(servers={"qwen": READS, "again": READS, "hub": QWEN}))
    assert (store.bucket.name, store.bucket.creates, store.bucket.location) == (BUCKET, True, "us-central1")
    (model,) = store.models
    assert (model.uri, model.prefix) == (f"gs://{BUCKET}/{MODEL}/{COMMIT}", f"{MODEL}/{COMMIT}")
    assert model.gib == pytest.approx(14.19, abs=0.01)
    assert [(one.server, one.member) for one in store.readers] == [("again", f"{POOL}again"), ("qwen", f"{POOL}qwen")]
    assert (store.read_by("qwen"), store.read_by("hub")) == (model, None)
    assert store.stored(MODEL, COMMIT) == model
    assert store.stored(MODEL, OTHER) is None
    assert warned(stack()) == []


def test_the_copy_has_the_time_that_its_size_takes_and_no_token_that_the_stack_lacks() -> None:
    store = store_of(stack())
    (copy,) = store.copies
    # 14.19 GiB at the 0.18 GiB a second of a download; 4 times that and a node come to less than half an hour.
    assert (copy.expected_seconds, copy.deadline_seconds) == (79, 1800)
    assert store.copied_for("qwen") == copy
    assert store.copier is not None
    assert store.copier.member == f"{POOL}model-copy"
    assert store.copier.token_secret == ("hf-secret", "hf_api_token")
    bare = store_of(stack(huggingFace={"tokenSource": "none"}))
    assert bare.copier is not None
    assert bare.copier.token_secret is None
    (container,) = job_spec(bare.copies[0], bare.copier)["template"]["spec"]["containers"]
    assert not any("token" in argument for argument in container["args"])


def test_a_large_model_gets_longer_and_one_of_unknown_size_four_hours() -> None:
    big = {"model": "meta-llama/Llama-3.1-70B-Instruct", "revision": COMMIT}
    unknown = {"model": "acme/novel", "revision": COMMIT}
    store = store_of(stack({**CREATE, "models": [{"model": MODEL, "revision": COMMIT}, big, unknown]}))
    deadlines = {one.model.model: (one.model.gib, one.deadline_seconds) for one in store.copies}
    assert deadlines["acme/novel"] == (None, 14_400)
    gib, seconds = deadlines["meta-llama/Llama-3.1-70B-Instruct"]
    assert gib is not None
    assert seconds == pytest.approx(900 + 4 * gib / 0.18, abs=5)


def test_a_job_keeps_its_name_and_another_revision_or_bucket_gets_another() -> None:
    def name(revision: str = COMMIT, bucket: str = "one", **server: Any) -> str:
        store = {"bucket": {"mode": "existing", "name": bucket}, "projectNumber": NUMBER}
        return store_of(stack(store, servers={"qwen": {**READS, "revision": revision, **server}})).copies[0].name

    assert name() == name(maxModelLen=2048) == name(version="0.19.1")
    names = {name(), name(OTHER), name(bucket="two"), name(model="google/gemma-2-9b-it", allowUnfit=True)}
    assert len(names) == 4
    assert all(len(one) <= 52 for one in names)


@given(st.sampled_from(["Qwen/Qwen2.5-7B-Instruct", "google/gemma-2-27b-it", "a/b", f"{'x' * 90}/{'Y' * 90}"]))
def test_names_of_jobs_are_dns_labels_with_room_for_a_pods_suffix(model: str) -> None:
    models = [{"model": model, "revision": COMMIT}, {"model": model, "revision": OTHER}]
    names = [one.name for one in store_of(stack({**CREATE, "models": models}, servers={"hub": QWEN})).copies]
    assert len(set(names)) == 2
    assert all(one.replace("-", "").isalnum() and one.islower() and len(one) <= 52 for one in names)


def test_the_job_keeps_its_upload_states_where_its_container_finds_them_again() -> None:
    store = store_of(stack())
    assert store.copier is not None
    spec = job_spec(store.copies[0], store.copier)
    assert "ttlSecondsAfterFinished" not in spec
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (3, 1800)
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("OnFailure", False)
    (container,) = pod["containers"]
    assert container["image"] == "docker.io/library/python:3.13.9-slim"
    assert container["args"] == [
        "/opt/model-copy/copy_model.py",
        f"--model={MODEL}",
        f"--revision={COMMIT}",
        f"--bucket={BUCKET}",
        "--state=/var/lib/model-copy",
        "--files=4",
        "--chunk-mib=16",
        "--token-file=/etc/model-copy/token",
    ]
    assert "env" not in container
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert [one["name"] for one in pod["volumes"]] == ["program", "state", "token"]
    # A ConfigMap holds a mebibyte.
    assert len(program_text().encode()) < 2**20


def test_the_image_of_the_copy_comes_through_the_registry_and_has_its_digest() -> None:
    digest = "sha256:" + "8f" * 32
    raw = stack(imageRegistry={"mode": "create"}, imageDigests={"python:3.13.9-slim": digest})
    store = store_of(raw)
    assert store.copier is not None
    assert store.copier.image == (
        f"us-central1-docker.pkg.dev/my-project/gke-llm-inference-test-docker-hub/library/python:3.13.9-slim@{digest}"
    )
    assert [one.path for one in planned(raw).warnings if one.path.startswith("image")] == []


def test_what_copies_may_call_hugging_face_the_bucket_and_who_it_is_and_nobody_calls_it() -> None:
    plan = planned(stack(cluster={"mode": "standard", "location": "us-central1", "fqdnNetworkPolicy": True}))
    assert plan.model_store is not None
    assert plan.model_store.copier is not None
    policy = plan.model_store.copier.network_policy
    assert policy is not None
    assert policy.features("in") == ()
    assert policy.features("out") == ("dns", "identity", "model")
    assert sorted(policy.spec["policyTypes"]) == ["Egress", "Ingress"]
    assert "ingress" not in policy.spec or policy.spec["ingress"] == []
    assert policy.fqdn_spec is not None
    assert "storage.googleapis.com" in str(policy.fqdn_spec)
    assert "huggingface.co" in str(policy.fqdn_spec)
    assert "copies of models: NetworkPolicy/model-copy and FQDNNetworkPolicy/model-copy" in " ".join(
        flows_text(plan).split()
    )
    assert flows_document(plan)["modelCopy"]["policies"] == ["NetworkPolicy/model-copy", "FQDNNetworkPolicy/model-copy"]
    assert flows_document(plan, "qwen")["modelCopy"] is None
    off = store_of(stack(networkPolicy={"enabled": False}))
    assert off.copier is not None
    assert off.copier.network_policy is None


def test_where_somebody_else_copies_there_is_no_job() -> None:
    store = store_of(stack({**CREATE, "copy": False}))
    assert (store.copies, store.copier) == ((), None)
    assert store.copied_for("qwen") is None
    assert [one.server for one in store.readers] == ["qwen"]


def test_an_existing_bucket_is_taken_by_its_name_and_in_the_clusters_region() -> None:
    store = store_of(stack({"bucket": {"mode": "existing", "name": "our.models"}, "projectNumber": NUMBER}))
    assert (store.bucket.name, store.bucket.creates, store.bucket.location) == ("our.models", False, "us-central1")
    assert store.bucket.crosses_to is None


def test_a_number_that_the_tokens_source_states_need_not_be_repeated() -> None:
    token = {"tokenSource": "secretManager", "secret": "hf", "projectNumber": "987654321098"}
    store = store_of(stack({"bucket": {"mode": "create"}}, huggingFace=token))
    assert "/projects/987654321098/" in store.readers[0].member


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({"revision": "main"}, "servers.qwen.revision: main is not a commit"),
        ({"revision": COMMIT[:7]}, f"servers.qwen.revision: {COMMIT[:7]} is not a commit"),
        ({"revision": None}, "servers.qwen.revision: is missing"),
    ],
)
def test_a_store_takes_commits_alone(server: Raw, expected: str) -> None:
    assert told(stack(servers={"qwen": {**READS, **server}})) == [expected]


def test_a_server_reads_what_the_store_is_said_to_hold() -> None:
    near = {"model": "Qwen/Qwen2.5-7B-Instuct", "revision": COMMIT}
    (problem,) = problems_of(stack({**CREATE, "models": [near]}))
    assert (problem.path, problem.what) == ("servers.qwen.model", f"{MODEL} is not in the store")
    assert problem.fix == "did you mean Qwen/Qwen2.5-7B-Instuct? Otherwise add it to modelStore.models"
    (problem,) = problems_of(stack({**CREATE, "models": [{"model": MODEL, "revision": OTHER}]}))
    assert (problem.path, problem.what) == ("servers.qwen.revision", f"{COMMIT} of {MODEL} is not in the store")
    assert problem.fix == f"use {OTHER}, or add this revision to modelStore.models"
    (problem,) = problems_of(stack({**CREATE, "models": []}))
    assert problem.why == "modelStore.models has none"


def test_without_a_store_nothing_can_be_read_from_it() -> None:
    assert told(standard_stack({"l4": {}}, {"qwen": READS})) == [
        "servers.qwen.modelSource: reads from a store, and the stack has none"
    ]


def test_what_the_store_needs_and_nobody_says_is_told_together() -> None:
    raw = {**stack({"bucket": {"mode": "create"}}), "cluster": {"mode": "existing", "kubeconfigContext": "local"}}
    raw.pop("nodePools")
    found = told(raw, StackIdentity("gke-llm-inference", "test"))
    assert [one for one in found if one.startswith("modelStore")] == [
        "modelStore: has no project",
        "modelStore.bucket.location: is missing",
        "modelStore.projectNumber: is missing",
    ]


def test_a_server_cannot_have_the_name_of_what_copies() -> None:
    assert told(stack(servers={"model-copy": READS})) == [
        "servers.model-copy: gets the name of the service account that copies models: model-copy"
    ]
    assert warned(stack({**CREATE, "copy": False}, servers={"model-copy": READS})) == []


def test_a_gated_model_is_copied_with_a_token_or_by_somebody_else() -> None:
    models = [{"model": MODEL, "revision": COMMIT}, {"model": "google/gemma-7b-it", "revision": COMMIT}]
    raw = stack({**CREATE, "models": models}, huggingFace={"tokenSource": "none"})
    assert told(raw) == ["modelStore: google/gemma-7b-it is gated and the stack has no Hugging Face token"]
    assert store_of({**raw, "modelStore": {**raw["modelStore"], "copy": False}}).copies == ()


def test_a_bucket_elsewhere_is_warned_of_and_its_traffic_is_among_the_costs() -> None:
    raw = stack({"bucket": {"mode": "create", "location": "europe-west4"}, "projectNumber": NUMBER})
    plan = planned(raw)
    (warning,) = [one for one in plan.warnings if one.path.startswith("modelStore")]
    assert str(warning) == (
        "modelStore.bucket.location: europe-west4 is not the cluster's us-central1\n"
        "  why: each start of a pod pays for traffic from there: qwen 14.2 GiB; and it is slower\n"
        "  fix: use a bucket in us-central1"
    )
    cost = stack_cost(plan, CATALOG)
    notes = {one.title: one.cost.note for one in cost.parts if BUCKET in one.title}
    assert notes[f"traffic from {BUCKET} in europe-west4 to us-central1 at each start of a pod"] == (
        "no price known of traffic between europe-west4 and us-central1"
    )
    assert cost.is_least


def test_a_bucket_costs_what_its_models_take_and_anothers_bucket_nothing() -> None:
    plan = planned(stack())
    (part,) = [one for one in stack_cost(plan, CATALOG).parts if "bucket" in one.title]
    # 7,615,616,512 weights of 2 bytes, 0.02 USD per GB and month of 730 hours.
    assert part.title == f"bucket {BUCKET}: 15.2 GB of models in us-central1"
    assert part.cost.hourly_usd == pytest.approx(7_615_616_512 * 2 / 1e9 * 0.02 / 730)
    assert not part.is_least
    unknown = stack({**CREATE, "models": [{"model": MODEL, "revision": COMMIT}, {"model": "a/b", "revision": COMMIT}]})
    (part,) = [one for one in stack_cost(planned(unknown), CATALOG).parts if "bucket" in one.title]
    assert part.is_least
    existing = planned(stack({"bucket": {"mode": "existing", "name": "ours"}, "projectNumber": NUMBER}))
    assert not [one for one in stack_cost(existing, CATALOG).parts if "ours" in one.title]
    wide = planned(stack({"bucket": {"mode": "create", "location": "us"}, "projectNumber": NUMBER}))
    (part,) = [one for one in stack_cost(wide, CATALOG).parts if one.title.startswith("bucket")]
    assert part.cost.note == "no price known of buckets in us"


def test_what_nobody_reads_and_what_is_read_twice_is_warned_of() -> None:
    idle = {"model": MODEL, "revision": OTHER}
    raw = stack({**CREATE, "models": [{"model": MODEL, "revision": COMMIT}, idle]})
    assert warned(raw) == [f"modelStore.models[1]: no server reads {MODEL} at {OTHER}"]
    assert warned(stack(servers={"hub": QWEN})) == ["modelStore: holds no model"]
    two = stack(servers={"one": READS, "two": {**READS, "revision": OTHER}})
    assert warned(two) == [f"modelStore: {MODEL} is read at 2 revisions: one at {COMMIT}; two at {OTHER}"]


def test_the_store_is_part_of_the_plan_for_people_and_programs() -> None:
    store = store_of(stack())
    job = store.copies[0].name
    assert list(model_store_lines(store)) == [
        f"Models lie in gs://{BUCKET} in us-central1, made by the stack",
        f"  {MODEL}/{COMMIT}: 14.2 GiB, read by qwen; copied once by Job {job} in 79 s expected, 1800 s allowed",
    ]
    assert model_store_document(store) == {
        "bucket": BUCKET,
        "creates": True,
        "location": "us-central1",
        "crossesTo": None,
        "models": [
            {
                "model": MODEL,
                "revision": COMMIT,
                "uri": f"gs://{BUCKET}/{MODEL}/{COMMIT}",
                "gib": 14.19,
                "readers": ["qwen"],
                "copy": {"job": job, "expectedSeconds": 79, "deadlineSeconds": 1800},
            }
        ],
    }
    others = replace(store, copies=(), bucket=replace(store.bucket, creates=False))
    assert list(model_store_lines(others))[1] == f"  {MODEL}/{COMMIT}: 14.2 GiB, read by qwen"
    assert (list(model_store_lines(None)), model_store_document(None)) == ([], None)


def test_a_model_is_named_once() -> None:
    with pytest.raises(Refusal, match="modelStore: names a model twice"):
        planned(stack({**CREATE, "models": [{"model": MODEL, "revision": COMMIT}] * 2}))
