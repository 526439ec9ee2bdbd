"""A whole stack from its plan: cluster, namespace, token, node pools and servers, each after what it needs."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from gke_llm_inference.planning import StackPlan

from .api_keys import ApiKeys, ApiKeysArgs
from .boot_disk_allowlist import BootDiskAllowlist, BootDiskAllowlistArgs
from .cluster import GkeCluster, GkeClusterArgs
from .compute_class import ComputeClass, ComputeClassArgs
from .gateway import Gateway, GatewayArgs
from .hugging_face_token import HuggingFaceToken, HuggingFaceTokenArgs
from .image_registry import ImageRegistry, ImageRegistryArgs
from .inference_server import InferenceServer, InferenceServerArgs
from .metrics_adapter import MetricsAdapter, MetricsAdapterArgs
from .model_caches import bucket_caches
from .model_disk import transfer_nodes
from .model_store import ModelStore, ModelStoreArgs
from .node_pool import GpuNodePool, GpuNodePoolArgs
from .observability import Observability, ObservabilityArgs


@dataclass(frozen=True, kw_only=True)
class StackResources:
    """What a stack consists of.

    Attributes:
        plan: the plan that it was made from.
        cluster: the cluster; its `provider` is for more objects on it.
        namespace: the Kubernetes namespace; None where it exists already.
        token: the Hugging Face token's way into the cluster.
        node_pools: GPU node pools by their names in the settings.
        compute_classes: compute classes of servers by their names in the cluster.
        servers: inference servers by their names in the settings.
        gateway: load balancers before the servers; None where no server is reached from outside of the cluster.
        observability: what is watched; None where nothing is.
        metrics_adapter: what the autoscalers read Cloud Monitoring through; None where the stack does not make it.
        image_registry: repositories that images come through; None where the stack does not make them.
        model_store: the bucket that servers read models from; None without one.
        boot_disk_allowlist: disk images that nodes may start with; None where the stack does not make the list.

    """

    plan: StackPlan
    cluster: GkeCluster
    namespace: kubernetes.core.v1.Namespace | None
    token: HuggingFaceToken
    node_pools: Mapping[str, GpuNodePool]
    servers: Mapping[str, InferenceServer]
    gateway: Gateway | None = None
    observability: Observability | None = None
    metrics_adapter: MetricsAdapter | None = None
    image_registry: ImageRegistry | None = None
    model_store: ModelStore | None = None
    boot_disk_allowlist: BootDiskAllowlist | None = None
    compute_classes: Mapping[str, ComputeClass] = field(default_factory=dict)

    @property
    def outputs(self) -> dict[str, Any]:
        """What others need to know of the stack, by the names that a stack reference finds them under."""
        reached = {
            "endpoints": {one.server: self.plan.access.url_of(one) for one in self.plan.access.servers},
            "addresses": dict(self.gateway.addresses) if self.gateway else {},
            "certificateRecords": self.gateway.certificate_records if self.gateway else {},
        }
        return {
            **{name: value for name, value in reached.items() if value},
            "clusterName": self.cluster.cluster_name,
            "kubeconfig": self.cluster.kubeconfig,
            "nodeServiceAccount": self.cluster.node_service_account,
            "namespace": self.plan.namespace,
            "servers": {server.name: self.servers[server.key].url for server in self.plan.servers},
        }


def create_stack(
    plan: StackPlan,
    *,
    token: pulumi.Input[str] | None = None,
    api_keys: Mapping[str, pulumi.Input[str]] | None = None,
    opts: pulumi.ResourceOptions | None = None,
) -> StackResources:
    """Registers everything that a plan holds. It adds no resource of its own above the pieces.

    Args:
        plan: the stack, decided and checked.
        token: the Hugging Face token, where the plan takes it from the config; made a Pulumi secret in any case.
        api_keys: API keys by their names in the config, where the plan takes some from there; made Pulumi secrets in
            any case.
        opts: options of every piece, such as `parent`, `protect` or `transforms`.

    """

    def options(own: pulumi.ResourceOptions | None = None) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(opts, own)

    cluster = GkeCluster("gke", GkeClusterArgs(plan=plan.cluster), options())
    on_cluster = options(pulumi.ResourceOptions(providers=[cluster.provider]))
    # Deleted while the old cluster still answers, and made again on the new one, though its identity may be the same.
    together: list[pulumi.Resource] = [cluster.cluster] if cluster.cluster and cluster.node_identity else []
    namespace = None
    ready: list[pulumi.Resource] = []
    if plan.create_namespace:
        namespace = kubernetes.core.v1.Namespace(
            plan.namespace,
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=plan.namespace, labels=plan.namespace_labels),
            # Whatever else is in it goes with it, such as claims of models that this stack did not make.
            opts=options(
                pulumi.ResourceOptions(
                    provider=cluster.provider,
                    protect=plan.cluster.protected or None,
                    replace_with=together or None,
                )
            ),
        )
        ready.append(namespace)
    registry = None
    if plan.image_registry and plan.image_registry.creates and plan.image_registry.repositories:
        registry = ImageRegistry(
            "images",
            ImageRegistryArgs(
                plan=plan.image_registry,
                # The nodes of a cluster that the stack makes may read every repository of the project.
                reader=None if cluster.node_identity else cluster.node_service_account,
            ),
            options(),
        )
    pulled: list[pulumi.Resource] = list(registry.resources) if registry else []
    hugging_face = HuggingFaceToken(
        "hugging-face",
        HuggingFaceTokenArgs(
            plan=plan.token, token=token, after=ready, replace_with=together, served_apis=cluster.served_apis
        ),
        on_cluster,
    )
    ready += hugging_face.resources
    store = None
    if plan.model_store:
        store = ModelStore(
            "model-store",
            ModelStoreArgs(
                plan=plan.model_store,
                after=[*ready, *pulled, *cluster.before_gpu_pools],
                replace_with=together,
                served_apis=cluster.served_apis,
            ),
            on_cluster,
        )
    sources: list[pulumi.Resource] = []
    if plan.transfer_nodes:
        own = pulumi.ResourceOptions(provider=cluster.provider, replace_with=together or None)
        account = cluster.node_service_account
        sources.append(transfer_nodes(plan.transfer_nodes, account, cluster.served_apis, options(own)))
    if plan.bucket_caches and plan.model_store:
        made = store.bucket if store else None
        bucket_caches(plan.bucket_caches, made.name if made else plan.model_store.bucket.name, options())
    allowlist = None
    if plan.boot_disk_allowlist:
        allowlist = BootDiskAllowlist(
            "boot-disk-allowlist",
            BootDiskAllowlistArgs(
                plan=plan.boot_disk_allowlist, replace_with=together, served_apis=cluster.served_apis
            ),
            on_cluster,
        )
        ready.append(allowlist.allowlist)
    pools = {
        pool.key: GpuNodePool(
            pool.name,
            GpuNodePoolArgs(
                plan=pool,
                project=plan.cluster.project,
                cluster=cluster.cluster_name,
                location=plan.cluster.location,
                service_account=cluster.node_service_account,
                resource_labels=plan.cluster.labels,
                after=cluster.before_gpu_pools,
            ),
            options(),
        )
        for pool in plan.node_pools
    }
    classes = {
        one.name: ComputeClass(
            one.name,
            ComputeClassArgs(
                plan=one,
                node_pools={key: pool.node_pool.name for key, pool in pools.items()},
                service_account=cluster.node_service_account,
                after=[pools[rule.node_pool].node_pool for rule in one.rules if rule.node_pool],
                replace_with=together,
                served_apis=cluster.served_apis,
            ),
            on_cluster,
        )
        for one in plan.compute_classes
    }
    keys = {
        server.key: ApiKeys(
            f"{server.name}-api-keys",
            ApiKeysArgs(
                plan=server.api_keys,
                namespace=plan.namespace,
                keys=api_keys or {},
                after=[namespace] if namespace else [],
                replace_with=together,
                served_apis=cluster.served_apis,
            ),
            on_cluster,
        )
        for server in plan.servers
        if server.api_keys
    }
    servers = {
        server.key: InferenceServer(
            server.name,
            InferenceServerArgs(
                plan=server,
                after=[
                    *ready,
                    *pulled,
                    *(keys[server.key].resources if server.key in keys else []),
                    *(store.before(server.key) if store else []),
                    *sources,
                    *([pools[server.node_pool].node_pool] if server.node_pool else []),
                    *([classes[server.compute_class].compute_class] if server.compute_class else []),
                ],
                token_version=hugging_face.version,
                api_keys_version=keys[server.key].version if server.key in keys else None,
                replace_with=together,
                served_apis=cluster.served_apis,
            ),
            on_cluster,
        )
        for server in plan.servers
    }
    adapter = None
    if plan.metrics_adapter:
        adapter = MetricsAdapter(
            "metrics-adapter",
            MetricsAdapterArgs(plan=plan.metrics_adapter, after=pulled, replace_with=together),
            on_cluster,
        )
    gateway = None
    if plan.access.servers:
        gateway = Gateway(
            "gateway",
            GatewayArgs(
                plan=plan.access,
                namespace=plan.namespace,
                network=cluster.vpc,
                services={key: server.service for key, server in servers.items()},
                after=[*([namespace] if namespace else []), *pulled],
                replace_with=together,
                served_apis=cluster.served_apis,
            ),
            on_cluster,
        )
    observability = None
    if plan.observability.metrics or plan.observability.alerts:
        observability = Observability(
            "observability",
            ObservabilityArgs(
                plan=plan.observability,
                after=[namespace] if namespace else [],
                servers={key: server.workload for key, server in servers.items()},
                replace_with=together,
                served_apis=cluster.served_apis,
            ),
            on_cluster,
        )
    return StackResources(
        plan=plan,
        cluster=cluster,
        namespace=namespace,
        token=hugging_face,
        node_pools=pools,
        servers=servers,
        gateway=gateway,
        observability=observability,
        metrics_adapter=adapter,
        image_registry=registry,
        model_store=store,
        boot_disk_allowlist=allowlist,
        compute_classes=classes,
    )
