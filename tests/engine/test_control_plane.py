"""The engine on a real control plane, with each provider that a user may have.

`attached`: this repository's provider, as `make up` uses it; `started`: the same one as a plugin that the engine
starts; `pulumi`: Pulumi's own plugin, where it is on PATH.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.engine.command import EngineCommand
from local.engine.errors import EngineError
from local.engine.kubernetes_provider.cluster import ApiServer, Object
from local.engine.kubernetes_provider.provider import KubernetesProvider
from local.engine.local import CONTEXT
from local.engine.provider_server import attached
from local.engine.stack import EngineStack
from local.gke import LocalGke
from tests.cluster.support import plan_of_file
from tests.engine.plugin import NAME, write_plugin
from tests.engine.support import KILL, TOKEN, Background, Bench, Events, files_with, wait_until

SPEED = 600.0
NAMESPACE = "llm-inference"
SERVER = {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096}


@pytest.fixture(scope="module")
def gke(command: EngineCommand, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGke]:
    cluster = LocalGke(tmp_path_factory.mktemp("gke") / "gke")
    cluster.start("standard", speed=SPEED, progress=print)
    yield cluster
    cluster.reset()


@dataclass
class OnCluster:
    """A bench whose cluster is a real one."""

    bench: Bench
    gke: LocalGke
    api: ApiServer

    def stack(self, *, token: str = TOKEN, **server: Any) -> EngineStack:
        """A stack of one server; its cluster has the node pools that it needs."""
        settings = {
            "cluster": {"mode": "existing", "profile": "standard", "kubeconfigContext": CONTEXT},
            "huggingFace": {"tokenSource": "config"},
            "servers": {"gemma": {**SERVER, **server}},
        }
        text = yaml.safe_dump({"config": {f"gke-llm-inference:{key}": value for key, value in settings.items()}})
        stack = self.bench.stack(text, token=token)
        self.gke.simulate(plan_of_file(self.bench.directory / "Pulumi.test.yaml"))
        return stack

    def up(self, **server: Any) -> Events:
        return self.bench.run(self.stack(**server).up)

    def deployment(self) -> Object:
        found = self.api.get("apps/v1", "Deployment", NAMESPACE, "gemma")
        assert found is not None
        return found

    def exists(self) -> bool:
        return self.api.get("apps/v1", "Deployment", NAMESPACE, "gemma") is not None

    def scale(self, replicas: int) -> None:
        """What somebody does by hand."""
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "gemma", "namespace": NAMESPACE},
            "spec": {"replicas": replicas},
        }
        resource = self.api._resource("apps/v1", "Deployment")
        resource.patch(body=body, name="gemma", namespace=NAMESPACE, content_type="application/merge-patch+json")


@pytest.fixture(params=["attached", "started", "pulumi"])
def cluster(
    request: pytest.FixtureRequest, command: EngineCommand, gke: LocalGke, tmp_path: Path
) -> Iterator[OnCluster]:
    running = gke.running()
    assert running is not None
    api = ApiServer(running.kubeconfig, running.context, tmp_path / "discovery.json")
    with ExitStack() as stack:
        environment = {"KUBECONFIG": str(running.kubeconfig)}
        if request.param == "attached":
            provider = KubernetesProvider(api, lambda arguments: None)
            environment |= stack.enter_context(attached({"kubernetes": provider}))
        elif request.param == "started":
            place = write_plugin(tmp_path / "plugin", running.kubeconfig, running.context)
            environment["PATH"] = os.pathsep.join([str(place), os.environ["PATH"]])
        elif shutil.which(NAME) is None:
            pytest.skip(f"{NAME} is not on PATH")
        bench = Bench(tmp_path, EngineCommand(Path(command.command)), environment=environment)
        made = OnCluster(bench, gke, api)
        yield made
        made.stack().destroy()
    assert api.get("v1", "Namespace", None, NAMESPACE) is None


def test_a_life(cluster: OnCluster) -> None:
    created = cluster.up()
    assert created.operations["create"] == 10
    assert cluster.deployment()["status"]["readyReplicas"] == 1
    assert cluster.up().summary == {"same": 10}
    preview = cluster.bench.run(cluster.stack(maxModelLen=2048).preview)
    assert preview.steps == [("update", "gemma-deployment")]
    assert "--max-model-len=4096" in _arguments(cluster.deployment())
    assert cluster.up(maxModelLen=2048).steps == preview.steps
    assert "--max-model-len=2048" in _arguments(cluster.deployment())
    assert cluster.bench.run(cluster.stack(maxModelLen=2048).refresh).summary == {"same": 10}
    assert files_with(cluster.bench.directory, TOKEN) == []


def test_drift_is_found_and_mended_once_that_is_asked_for(cluster: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.up()
    cluster.scale(0)
    assert cluster.bench.run(cluster.stack().refresh).summary == {"same": 9, "update": 1}
    with pytest.raises(EngineError, match=r"\.spec\.replicas"):
        cluster.up()
    # The SDK makes an argument of the provider of it.
    monkeypatch.setenv("PULUMI_K8S_ENABLE_PATCH_FORCE", "true")
    assert cluster.up().steps == [("update", "gke-kubernetes"), ("update", "gemma-deployment")]
    assert cluster.deployment()["spec"]["replicas"] == 1


def test_an_engine_killed_while_pods_start_loses_nothing(cluster: OnCluster) -> None:
    stack = cluster.stack()
    # Nothing can start: without pools, the pod waits for a node.
    cluster.gke.simulate()
    cluster.bench.kill_when(cluster.exists, stack.up, KILL)
    uid = cluster.deployment()["metadata"]["uid"]
    cluster.up()
    assert cluster.deployment()["metadata"]["uid"] == uid
    assert cluster.deployment()["status"]["readyReplicas"] == 1
    assert cluster.up().summary == {"same": 10}


def test_one_of_two_updates_at_once_is_refused(cluster: OnCluster) -> None:
    stack = cluster.stack()
    cluster.gke.simulate()
    first = Background(stack.up)
    wait_until(cluster.exists)
    with pytest.raises(EngineError, match="another operation on stack 'test' is running"):
        stack.up()
    cluster.stack()
    first.join()
    assert first.failure is None


def test_a_new_token_restarts_the_pods(cluster: OnCluster) -> None:
    cluster.up()
    before = _pods(cluster)
    cluster.up(token="hf_anotherPlantedToken0123456789")
    assert len(before) == 1
    wait_until(lambda: len(_pods(cluster)) == 1 and _pods(cluster) != before)


def _pods(cluster: OnCluster) -> set[str]:
    pods = cluster.api.select("v1", "Pod", NAMESPACE, {"app.kubernetes.io/instance": "gemma"})
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def _arguments(deployment: Object) -> list[str]:
    arguments: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return arguments
