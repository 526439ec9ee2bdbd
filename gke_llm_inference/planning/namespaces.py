"""The namespace of a stack: what may be made or labeled, and which Pod Security Standard its pods keep to."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.plan import ClusterPlan, ServerPlan
from gke_llm_inference.settings import Finding, StackSettings

_LABELS = {
    "app.kubernetes.io/managed-by": "pulumi",
    "app.kubernetes.io/part-of": "gke-llm-inference",
    "pod-security.kubernetes.io/warn": "restricted",
}
_ENFORCE = "pod-security.kubernetes.io/enforce"


def namespace_labels(servers: Sequence[ServerPlan]) -> dict[str, str]:
    """Labels of a namespace that the stack makes.

    Its pods keep to the baseline standard, but where one of them shares GPUs by MPS: that takes the IPC namespace of
    the node, which only the privileged standard allows.
    """
    standard = "privileged" if any(server.host_ipc for server in servers) else "baseline"
    return dict(sorted({**_LABELS, _ENFORCE: standard}.items()))


def namespace_findings(settings: StackSettings, cluster: ClusterPlan, catalog: Catalog) -> list[Finding]:
    """Problems and warnings of the namespace that the stack asks for."""
    name = settings.namespace
    if not any(fnmatchcase(name, pattern) for pattern in catalog.gke.system_namespaces):
        return []
    if settings.create_namespace:
        return [
            Finding(
                path="namespace",
                what=f"{name} belongs to Kubernetes or GKE",
                why="it exists already, and its labels and its deletion would concern the whole cluster",
                fix="use a namespace of your own"
                + (", or createNamespace: false to use it as it is" if name == "default" else ""),
            )
        ]
    if name == "default":
        return []
    return [
        Finding(
            path="namespace",
            what=f"{name} belongs to Kubernetes or GKE",
            why="Autopilot rejects pods of others there"
            if cluster.profile == "autopilot"
            else "what GKE does with its own namespaces, such as an update, may concern the servers",
            fix="use a namespace of your own",
            severity="problem" if cluster.profile == "autopilot" else "warning",
        )
    ]


def shared_ipc_warnings(settings: StackSettings, servers: Sequence[ServerPlan]) -> list[Finding]:
    """Warnings of pools whose pods share GPUs by MPS, in a namespace whose standard the stack does not decide."""
    if settings.create_namespace:
        return []
    pools = sorted({server.node_pool for server in servers if server.host_ipc and server.node_pool})
    return [
        Finding(
            path=f"nodePools.{pool}.sharing",
            what="gives pods the IPC namespace of their node (hostIPC)",
            why=f"MPS needs it, and a namespace that enforces baseline or restricted rejects such pods: whether "
            f"{settings.namespace} does is not known",
            fix=f"see that its label {_ENFORCE} is absent or privileged, or use timeSharing",
            severity="warning",
        )
        for pool in pools
    ]
