"""Images through Artifact Registry: their names, their digests, their start, and what stands against it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.planning import ImageRegistryPlan, RepositoryPlan, StackIdentity
from gke_llm_inference.planning.image_names import full_name, parts_of
from tests.planning.support import IDENTITY, QWEN, TGI, existing_stack, planned, problems_of, standard_stack

if TYPE_CHECKING:
    from tests.settings.support import Raw

CREATE = {"mode": "create"}
HUB = "us-central1-docker.pkg.dev/my-project/gke-llm-inference-test-docker-hub"
GHCR = "us-central1-docker.pkg.dev/my-project/gke-llm-inference-test-ghcr"
LOGIN = {"username": "acme", "secretVersion": "projects/vault/secrets/docker-hub/versions/3"}
DIGEST = "sha256:" + "8f" * 32
VLLM = "vllm/vllm-openai:v0.26.0"
DIRECT = f"docker.io/{VLLM}"


def stack(registry: Raw | None, *, servers: Raw | None = None, **more: Any) -> Raw:
    raw = standard_stack({"l4": {"maxNodes": 4}}, servers or {"qwen": {**QWEN, "version": "0.26.0"}})
    return {**raw, **({"imageRegistry": registry} if registry else {}), **more}


def warnings(raw: Raw, identity: StackIdentity = IDENTITY) -> dict[str, str]:
    found = planned(raw, identity).warnings
    return {one.path: one.what for one in found if one.path.startswith(("imageRegistry", "imageDigests"))}


def test_off_by_default_images_come_from_their_own_registries() -> None:
    plan = planned(stack(None))
    assert plan.image_registry is None
    assert plan.servers[0].image == DIRECT


def test_every_image_comes_through_the_repository_of_its_registry() -> None:
    beside = {"name": "proxy", "image": "redis:7.4", "cpu": 0.1, "memoryGib": 1}
    elsewhere = {**beside, "name": "helper", "image": "quay.io/me/helper:1.0"}
    servers = {"qwen": {**QWEN, "pod": {"containers": [beside, elsewhere]}}, "gemma": TGI}
    plan = planned(stack(CREATE, servers=servers))
    gemma, qwen = plan.servers
    assert gemma.image.startswith(f"{GHCR}/huggingface/text-generation-inference:")
    assert qwen.images[0].startswith(f"{HUB}/vllm/vllm-openai:v")
    assert qwen.images[1:] == (f"{HUB}/library/redis:7.4", "quay.io/me/helper:1.0")
    assert plan.image_registry is not None
    assert [(one.upstream, one.address) for one in plan.image_registry.repositories] == [
        ("docker.io", HUB),
        ("ghcr.io", GHCR),
    ]


def test_only_registries_that_images_come_from_get_a_repository() -> None:
    registry = planned(stack(CREATE)).image_registry
    assert registry is not None
    assert registry.repositories == (
        RepositoryPlan(
            upstream="docker.io",
            repository_id="gke-llm-inference-test-docker-hub",
            slug="docker-hub",
            address=HUB,
            preset="DOCKER_HUB",
        ),
    )


@pytest.mark.parametrize("key", [VLLM, DIRECT])
def test_a_digest_is_recorded_under_the_name_that_the_image_has_where_it_comes_from(key: str) -> None:
    raw = stack(CREATE, imageDigests={key: DIGEST})
    assert planned(raw).servers[0].image == f"{HUB}/{VLLM}@{DIGEST}"
    assert warnings(raw) == {}
    assert planned({**raw, "imageRegistry": None}).servers[0].image == f"{DIRECT}@{DIGEST}"


def test_a_digest_by_the_repositorys_name_is_unused_and_the_warning_names_the_right_one() -> None:
    raw = stack(CREATE, imageDigests={f"{HUB}/{VLLM}": DIGEST})
    (warning,) = [one for one in planned(raw).warnings if one.path.startswith("imageDigests")]
    assert warning.fix == f"remove it; the servers run {DIRECT}"


def test_the_start_is_that_of_a_streamed_image_and_the_deadline_that_of_the_first_pull() -> None:
    direct, through = planned(stack(None)).servers[0], planned(stack(CREATE)).servers[0]
    part = through.start.part("imagePull")
    assert (direct.start.part("imagePull").seconds, part.seconds) == (240, 30)
    assert part.why == "streamed from Artifact Registry, which fetches it from docker.io the first time"
    assert through.rollout.progress_deadline_seconds == direct.rollout.progress_deadline_seconds


def test_repositories_that_exist_are_named_by_the_registry_that_they_stand_before() -> None:
    registry = {"mode": "existing", "location": "us", "project": "shared-images", "repositories": {"docker.io": "hub"}}
    plan = planned(stack(registry))
    assert plan.servers[0].image == f"us-docker.pkg.dev/shared-images/hub/{VLLM}"
    assert plan.image_registry is not None
    assert not plan.image_registry.creates
    (warning,) = [one for one in plan.warnings if one.path == "imageRegistry"]
    assert warning.what == "the nodes need roles/artifactregistry.reader in shared-images"
    assert warning.fix.startswith("gcloud projects add-iam-policy-binding shared-images --role roles/artifactregistry.")


@pytest.mark.parametrize(
    ("cluster", "warned"),
    [
        ({"name": "shared", "location": "us-central1", "nodeServiceAccount": "n@p.iam.gserviceaccount.com"}, False),
        ({"name": "shared", "location": "us-central1"}, True),
        ({"name": "shared", "location": "us-central1", "profile": "autopilot"}, True),
    ],
    ids=["known", "unknown", "Autopilot"],
)
def test_nodes_of_anothers_cluster_need_the_role_from_somebody(cluster: Raw, *, warned: bool) -> None:
    raw = {**existing_stack({"qwen": QWEN}, **cluster), "imageRegistry": CREATE}
    assert ("imageRegistry" in warnings(raw)) is warned


def test_a_repository_of_another_region_streams_nothing() -> None:
    raw = stack({**CREATE, "location": "europe-west4"})
    assert warnings(raw) == {"imageRegistry.location": "GKE does not stream from europe-west4 to us-central1"}
    assert planned(raw).servers[0].start.part("imagePull").seconds == 240
    assert warnings(stack({**CREATE, "location": "us"})) == {}


def test_what_nothing_uses_is_a_warning() -> None:
    raw = stack({**CREATE, "credentials": {"docker.io": LOGIN, "ghcr.io": LOGIN}})
    assert warnings(raw) == {"imageRegistry.credentials.ghcr.io": "no image of the stack comes from ghcr.io"}
    own = {"qwen": {**QWEN, "image": "quay.io/me/vllm:v0.26.0"}}
    assert warnings(stack(CREATE, servers=own)) == {"imageRegistry": "no image of the stack comes through it"}


def test_a_misspelled_registry_of_credentials_is_refused_with_the_nearest() -> None:
    (problem,) = problems_of(stack({**CREATE, "credentials": {"docker.oi": LOGIN}}))
    assert problem.path == "imageRegistry.credentials.docker.oi"
    assert problem.fix == "did you mean docker.io?; or name a repository of yours, with mode: existing"


def test_a_cluster_of_a_kubeconfig_needs_project_and_location() -> None:
    raw = {**existing_stack({"qwen": QWEN}), "imageRegistry": CREATE}
    found = problems_of(raw, replace(IDENTITY, gcp_project=None))
    assert [(one.path, one.what) for one in found] == [
        ("imageRegistry", "has no project"),
        ("imageRegistry.location", "is missing"),
    ]


def test_the_password_itself_is_refused_where_a_secrets_version_belongs() -> None:
    token = "dckr_pat_" + "x" * 27
    found = problems_of(stack({**CREATE, "credentials": {"docker.io": {**LOGIN, "secretVersion": token}}}))
    assert [one.path for one in found] == ["imageRegistry.credentials.docker.io.secretVersion"]
    assert not any(token in str(one) for one in found)


_PART = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
_IMAGE = st.builds(
    lambda host, path, tag, digest: f"{host}{'/'.join(path)}:{tag}{digest}",
    st.sampled_from(["", "docker.io/", "ghcr.io/", "quay.io/", "localhost:5000/"]),
    st.lists(_PART, min_size=1, max_size=3),
    _PART,
    st.sampled_from(["", f"@{DIGEST}"]),
)


@given(_IMAGE)
def test_an_image_is_found_again_by_the_name_that_it_has_in_a_repository(image: str) -> None:
    registry = ImageRegistryPlan(
        project="p",
        location="us",
        creates=True,
        labels={},
        repositories=tuple(
            RepositoryPlan(upstream=host, repository_id=slug, slug=slug, address=f"us-docker.pkg.dev/p/{slug}")
            for host, slug in (("docker.io", "hub"), ("ghcr.io", "ghcr"))
        ),
    )
    through = registry.through(image)
    assert (through == image) is (parts_of(image)[0] not in ("docker.io", "ghcr.io"))
    assert full_name(registry.origin(through)) == full_name(image)
    assert registry.through(through) == through
    assert registry.used_for([through]).through(image) == through
