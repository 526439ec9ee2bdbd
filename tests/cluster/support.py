"""Ways to bring stacks to a simulated cluster, and to see what becomes of them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import yaml

from gke_llm_inference.planning.plan import ClusterProfile, ServerPlan, StackPlan
from gke_llm_inference.planning.stack import StackIdentity, plan_stack
from gke_llm_inference.preview.manifests import manifests_of
from gke_llm_inference.preview.recording import Recording
from gke_llm_inference.pulumi_project.project import load_project, load_stack
from gke_llm_inference.settings.stack_config import settings_of
from local.gke import LocalGke
from local.gke.stock import Stock
from tests.support import PROJECT, REPOSITORY

# The client's types say of every field that it may be None; these tests know which objects they made.
client: Any = kubernetes.client
config: Any = kubernetes.config
_dynamic: Any = kubernetes.dynamic

T = TypeVar("T")
Document = dict[str, Any]

SPEED = 600.0
"""Ten simulated minutes in a second."""
NAMESPACE = "llm-inference"
SYSTEM_NAMESPACES = {"default", "kube-node-lease", "kube-public", "kube-system", "local-gke-system"}
MACHINE = "node.kubernetes.io/instance-type"
GPU = "nvidia.com/gpu"


def running_gke(profile: ClusterProfile, directory: Path) -> Iterator[LocalGke]:
    """A cluster that runs as long as it is asked for."""
    gke = LocalGke(directory / "gke")
    try:
        gke.start(profile, speed=SPEED, progress=print)
        yield gke
    finally:
        gke.reset()


def plan_of_file(path: Path) -> StackPlan:
    """The plan of a stack file."""
    project = load_project(REPOSITORY)
    stack = load_stack(project, None, path)
    settings = settings_of(stack.values, stack.secret_keys, project.name, project.directory)
    return plan_stack(
        settings, StackIdentity(project=PROJECT, stack=stack.stack, gcp_project=stack.values.get("gcp:project"))
    )


def config_text(raw: Document) -> str:
    """The text of a stack file with such settings."""
    keys = {f"{PROJECT}:{key}": value for key, value in raw.items()}
    return yaml.safe_dump({"config": {"gcp:project": "my-project", **keys}})


def documents_of(recording: Recording) -> list[Document]:
    """The Kubernetes objects of a stack, the namespace first."""
    documents = [yaml.safe_load(manifest.text) for manifest in manifests_of(recording)]
    return sorted(documents, key=lambda document: document["kind"] != "Namespace")


class Cluster:
    """A running cluster and the official client's view of it."""

    def __init__(self, gke: LocalGke) -> None:
        self.gke = gke
        running = gke.running()
        assert running is not None
        self.kubeconfig = running.kubeconfig
        self.api = config.new_client_from_config(str(running.kubeconfig), running.context)
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)
        self.dynamic = _dynamic.DynamicClient(self.api)

    def apply(self, document: Document, *, dry_run: bool = False) -> Document:
        """Server-side apply under strict validation."""
        resource = self.dynamic.resources.get(api_version=document["apiVersion"], kind=document["kind"])
        answer = self.dynamic.server_side_apply(
            resource,
            body=document,
            namespace=document["metadata"].get("namespace"),
            force_conflicts=True,
            field_manager="tests",
            query_params=[("fieldValidation", "Strict"), *([("dryRun", "All")] if dry_run else [])],
        )
        applied: Document = answer.to_dict()
        return applied

    def create(self, document: Document, *, dry_run: bool = False) -> Document:
        """Creation under strict validation."""
        resource = self.dynamic.resources.get(api_version=document["apiVersion"], kind=document["kind"])
        answer = resource.create(
            body=document,
            namespace=document["metadata"].get("namespace"),
            query_params=[("fieldValidation", "Strict"), *([("dryRun", "All")] if dry_run else [])],
        )
        created: Document = answer.to_dict()
        return created

    def patch(self, document: Document) -> None:
        """Change an object by hand; fields that the document has not stay."""
        resource = self.dynamic.resources.get(api_version=document["apiVersion"], kind=document["kind"])
        resource.patch(
            body=document,
            name=document["metadata"]["name"],
            namespace=document["metadata"].get("namespace"),
            content_type="application/merge-patch+json",
        )

    def deploy(self, recording: Recording, plan: StackPlan) -> None:
        """Give the cluster the plan's node pools, and the stack's objects."""
        self.gke.simulate(plan)
        for document in documents_of(recording):
            self.apply(document)

    def delete(self, document: Document) -> None:
        """Delete an object, and what belongs to it after it."""
        resource = self.dynamic.resources.get(api_version=document["apiVersion"], kind=document["kind"])
        metadata = document["metadata"]
        resource.delete(
            name=metadata["name"], namespace=metadata.get("namespace"), body={"propagationPolicy": "Background"}
        )

    def impersonating(self, user: str) -> Any:
        """A client whose requests count as those of another user; a service account keeps its groups."""
        running = self.gke.running()
        assert running is not None
        api = config.new_client_from_config(str(running.kubeconfig), running.context)
        api.set_default_header("Impersonate-User", user)
        return api

    def namespaces(self) -> set[str]:
        """The names of all namespaces."""
        return {one.metadata.name for one in self.core.list_namespace().items}

    def pods(self, server: str | None = None) -> list[Any]:
        """The pods of a server, or of all of them, that are not on their way out."""
        selector = f"app.kubernetes.io/component=inference-server,app.kubernetes.io/instance={server}" if server else ""
        found = self.core.list_namespaced_pod(NAMESPACE, label_selector=selector).items
        return [pod for pod in found if pod.metadata.deletion_timestamp is None and pod.status.phase != "Failed"]

    def ready(self, server: str) -> int:
        """How many pods of a server are ready."""
        return sum(is_ready(pod) for pod in self.pods(server))

    def machine_of(self, pod: Any) -> str:
        """The machine type of the node that a pod is on."""
        labels: dict[str, str] = self.core.read_node(pod.spec.node_name).metadata.labels
        return labels[MACHINE]

    def gpu_nodes(self) -> list[Any]:
        """The nodes with GPUs, sorted by name."""
        nodes = self.core.list_node().items
        return sorted((one for one in nodes if GPU in one.status.allocatable), key=lambda one: str(one.metadata.name))

    def expect_ready(self, server: ServerPlan, timeout: float = 120) -> list[Any]:
        """Wait until every replica is ready, and return the pods."""

        def state() -> list[Any] | None:
            pods = self.pods(server.name)
            return pods if len(pods) == server.replicas and all(map(is_ready, pods)) else None

        return self.wait(state, f"{server.replicas} ready pods of {server.name}", timeout)

    def wait(self, look: Callable[[], T | bool | None], what: str, timeout: float = 120) -> T:
        """What `look` returns once it is true."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = look()
            if found:
                return found  # type: ignore[return-value]  # True is its own type's only member
            time.sleep(0.1)
        raise AssertionError(f"{what}: not within {timeout:g} s\n{self._story()}")

    def clear(self) -> None:
        """Remove everything that a test left."""
        for name in self.namespaces() - SYSTEM_NAMESPACES:
            # A namespace waits for the grace periods of its pods, in real time, unless they are gone before.
            self.apps.delete_collection_namespaced_deployment(name)
            self.apps.delete_collection_namespaced_replica_set(name)
            self.core.delete_collection_namespaced_pod(name, grace_period_seconds=0)
            self.core.delete_namespace(name)
        classes = self.dynamic.resources.get(api_version="cloud.google.com/v1", kind="ComputeClass")
        for one in classes.get().items:
            classes.delete(name=one.metadata.name)
        self.gke.set_stock(Stock())
        self.gke.simulate()
        self.wait(
            lambda: self.namespaces() <= SYSTEM_NAMESPACES,
            "the namespaces are gone",
        )
        self.wait(lambda: not self.gpu_nodes(), "the GPU nodes are gone")

    def _story(self) -> str:
        """What the cluster says about its pods, for the message of a failed test."""
        lines = []
        for pod in self.core.list_namespaced_pod(NAMESPACE).items:
            conditions = [f"{one.type}={one.status} {one.message or ''}" for one in pod.status.conditions or ()]
            lines.append(f"{pod.metadata.name} {pod.status.phase} on {pod.spec.node_name}: {'; '.join(conditions)}")
        nodes = [f"{one.metadata.name} {one.spec.unschedulable or ''}" for one in self.core.list_node().items]
        return "\n".join([*lines, *nodes])


def is_ready(pod: Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())
