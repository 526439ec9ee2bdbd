"""A real API server takes what a team adds to pods under strict validation, and refuses what is wrong in it."""

import copy
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.cluster.support import Cluster, Document, config_text, documents_of
from tests.planning.support import standard_stack
from tests.settings.support import autopilot_stack
from tests.stacks.test_pod_settings import CONTAINERS, POD, SERVER
from tests.support import Recordings


def deployment_of(recordings: Recordings, mode: str) -> tuple[Document, Document]:
    """The namespace and the Deployment of a server that adds all there is."""
    volumes = [*POD["volumes"], *CONTAINERS["volumes"]]
    servers = {"chat": {**SERVER, "pod": {**CONTAINERS, **POD, "volumes": volumes}}}
    raw = standard_stack({"l4": {"maxNodes": 2}}, servers) if mode == "standard" else autopilot_stack()
    raw = {**raw, "servers": servers, "huggingFace": {"tokenSource": "existingSecret"}}
    documents = documents_of(recordings.config(config_text(raw)))
    return documents[0], next(one for one in documents if one["kind"] == "Deployment")


@pytest.mark.parametrize("mode", ["standard", "autopilot"])
def test_additions_are_taken_as_they_are_planned(
    request: pytest.FixtureRequest, recordings: Recordings, mode: str
) -> None:
    cluster: Cluster = request.getfixturevalue(mode)
    namespace, deployment = deployment_of(recordings, mode)
    cluster.apply(namespace)
    spec = cluster.apply(deployment, dry_run=True)["spec"]["template"]["spec"]
    asked = deployment["spec"]["template"]["spec"]
    for key in ("imagePullSecrets", "runtimeClassName", "tolerations"):
        assert spec[key] == asked[key]
    (container,), (asked_container,) = spec["containers"], asked["containers"]
    for key in ("env", "envFrom", "volumeMounts", "resources"):
        assert container[key] == asked_container[key]
    assert [one["name"] for one in spec["volumes"]] == [one["name"] for one in asked["volumes"]]
    for found, stated in zip(spec["initContainers"], asked["initContainers"], strict=True):
        assert {key: found[key] for key in stated} == stated
    # Strict validation looks into them.
    wrong: Any = copy.deepcopy(deployment)
    wrong["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["prefixes"] = "A_"
    with pytest.raises(DynamicApiError, match="prefixes"):
        cluster.apply(wrong, dry_run=True)
