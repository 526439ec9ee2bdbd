"""A real API server merges patches of pod templates as the plan does."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from kubernetes.dynamic.exceptions import DynamicApiError

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.pod.patch_shape import shape_findings
from gke_llm_inference.planning.pod.strategic_merge import strategic_merge
from tests.cluster.support import Cluster, Document
from tests.cluster.test_pod_settings import deployment_of
from tests.planning.patches import Raw, patches
from tests.support import Recordings

FIELDS = load_catalog().pod_fields


def outcome(template: Document | None, error: DynamicApiError | None) -> Any:
    return template if error is None else error.status


def patched_by_server(cluster: Cluster, deployment: Document, patch: Raw) -> Any:
    resource = cluster.dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    metadata = deployment["metadata"]
    try:
        answer = resource.patch(
            body={"spec": {"template": patch}},
            name=metadata["name"],
            namespace=metadata["namespace"],
            content_type="application/strategic-merge-patch+json",
            query_params=[("dryRun", "All"), ("fieldValidation", "Strict")],
        )
    except DynamicApiError as error:
        return outcome(None, error)
    return outcome(answer.to_dict()["spec"]["template"], None)


def created(cluster: Cluster, deployment: Document, template: Raw) -> Any:
    document = copy.deepcopy(deployment)
    document["metadata"]["name"] = "merged"
    document["spec"]["template"] = template
    try:
        answer = cluster.create(document, dry_run=True)
    except DynamicApiError as error:
        return outcome(None, error)
    return outcome(answer["spec"]["template"], None)


@pytest.fixture
def deployed(standard: Cluster, recordings: Recordings) -> tuple[Cluster, Document]:
    namespace, deployment = deployment_of(recordings, "standard")
    standard.apply(namespace)
    deployment["spec"]["replicas"] = 0
    standard.apply(deployment)
    return standard, deployment


def test_patches_give_what_a_real_server_makes_of_them(deployed: tuple[Cluster, Document]) -> None:
    cluster, deployment = deployed
    accepted = rejected = 0

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(patches)
    def check(patch: Raw) -> None:
        nonlocal accepted, rejected
        assert list(shape_findings("patch", patch, FIELDS)) == []
        asked = copy.deepcopy(patch)
        merged = strategic_merge(deployment["spec"]["template"], patch, FIELDS)
        assert patch == asked
        # What does nothing is refused by the plan; where it stands in what is added, the server rejects it, too.
        assume(not merged.idle)
        theirs = patched_by_server(cluster, deployment, patch)
        ours = created(cluster, deployment, merged.template)
        assert ours == theirs
        accepted += isinstance(theirs, dict)
        rejected += not isinstance(theirs, dict)

    check()
    assert accepted > 50
    assert rejected > 10
