"""The stack: settings → plan → components → exports."""

import pulumi
import pulumi_kubernetes as kubernetes

from components import (
    GkeCluster,
    GkeClusterArgs,
    GpuNodePool,
    GpuNodePoolArgs,
    HuggingFaceToken,
    HuggingFaceTokenArgs,
    InferenceServer,
    InferenceServerArgs,
    settle,
)
from gke_llm_inference.planning import StackIdentity, plan_stack
from gke_llm_inference.settings import Refusal
from gke_llm_inference.settings.pulumi_config import read_configuration, read_token

try:
    configuration = read_configuration()
except Refusal as refusal:
    raise pulumi.RunError(str(refusal)) from None
settings, origins = configuration.settings, configuration.origins
try:
    token = read_token(settings)
    plan = plan_stack(
        settings,
        StackIdentity(
            project=pulumi.get_project(),
            stack=pulumi.get_stack(),
            gcp_project=pulumi.Config("gcp").get("project"),
        ),
    )
except Refusal as refusal:
    raise pulumi.RunError(str(origins.located(refusal))) from None

for warning in plan.warnings:
    pulumi.log.warn(str(origins.located_finding(warning)))
for planned in plan.servers:
    pulumi.log.info("\n  ".join([f"servers.{planned.key}:", *planned.remarks]))

cluster = GkeCluster("gke", GkeClusterArgs(plan=plan.cluster))
on_cluster = pulumi.ResourceOptions(providers=[cluster.provider])

ready: list[pulumi.Resource] = []
if plan.create_namespace:
    ready.append(
        kubernetes.core.v1.Namespace(
            plan.namespace,
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=plan.namespace, labels=plan.namespace_labels),
            opts=pulumi.ResourceOptions(provider=cluster.provider),
        )
    )

hugging_face = HuggingFaceToken(
    "hugging-face", HuggingFaceTokenArgs(plan=plan.token, token=token, after=ready), on_cluster
)
ready += hugging_face.resources

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
    )
    for pool in plan.node_pools
}

servers = {
    server.name: InferenceServer(
        server.name,
        InferenceServerArgs(
            plan=server,
            after=[*ready, pools[server.node_pool].node_pool] if server.node_pool else ready,
            token_version=hugging_face.version,
        ),
        on_cluster,
    )
    for server in plan.servers
}

pulumi.export("clusterName", cluster.cluster_name)
pulumi.export("kubeconfig", cluster.kubeconfig)
pulumi.export("nodeServiceAccount", cluster.node_service_account)
pulumi.export("namespace", plan.namespace)
pulumi.export("servers", {name: server.url for name, server in servers.items()})

pulumi.run(settle)
