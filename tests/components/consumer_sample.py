"""A platform team's own program: one component for a team's models, composed from this project's components."""

from dataclasses import dataclass, field

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
)
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.settings import (
    ConfigToken,
    NodePoolSettings,
    ServerAccelerator,
    SpotProvisioning,
    StackSettings,
    StandardCluster,
    TgiSettings,
    VllmSettings,
)


@dataclass(frozen=True, kw_only=True)
class ModelPlatformArgs:
    """What the team wants, and the token that its models need."""

    plan: StackPlan
    token: pulumi.Input[str]
    labels: dict[str, str] = field(default_factory=dict)


class ModelPlatform(pulumi.ComponentResource):
    """A cluster with models on it."""

    urls: dict[str, str]
    first_deployment: pulumi.Output[str]

    def __init__(self, name: str, args: ModelPlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("acme:platform:ModelPlatform", name, None, opts)
        plan = args.plan
        cluster = GkeCluster(f"{name}-gke", GkeClusterArgs(plan=plan.cluster), pulumi.ResourceOptions(parent=self))
        on_cluster = pulumi.ResourceOptions(parent=self, providers=[cluster.provider])
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=plan.namespace, labels=args.labels),
            opts=pulumi.ResourceOptions(parent=self, provider=cluster.provider),
        )
        token = HuggingFaceToken(
            f"{name}-token", HuggingFaceTokenArgs(plan=plan.token, token=args.token, after=[namespace]), on_cluster
        )
        pools: list[pulumi.Resource] = [
            GpuNodePool(
                pool.name,
                GpuNodePoolArgs(
                    plan=pool,
                    project=plan.cluster.project,
                    cluster=cluster.cluster_name,
                    location=cluster.location,
                    service_account=cluster.node_service_account,
                    after=cluster.before_gpu_pools,
                ),
                pulumi.ResourceOptions(parent=self),
            ).node_pool
            for pool in plan.node_pools
        ]
        servers = [
            InferenceServer(
                server.name,
                InferenceServerArgs(plan=server, after=[namespace, *token.resources, *pools]),
                on_cluster,
            )
            for server in plan.servers
        ]
        self.urls = {server.name: made.url for server, made in zip(plan.servers, servers, strict=True)}
        deployment = servers[0].deployment
        assert deployment is not None, "a server of one machine has a Deployment"
        self.first_deployment = deployment.metadata.apply(lambda metadata: metadata.name or "")
        self.register_outputs({"urls": self.urls})


SETTINGS = StackSettings(
    cluster=StandardCluster(mode="standard", location="europe-west4", release_channel="STABLE"),
    hugging_face=ConfigToken(token_source="config", secret_name="hub"),
    node_pools={"spot": NodePoolSettings(provisioning=SpotProvisioning(model="spot"), max_nodes=3)},
    namespace="acme-models",
    servers={
        "chat": VllmSettings(
            server="vllm", model="google/gemma-7b-it", max_model_len=4096, accelerator=ServerAccelerator(count=1)
        ),
        "legacy": TgiSettings(server="tgi", model="Qwen/Qwen2.5-7B-Instruct", max_model_len=4096),
    },
)

platform = ModelPlatform(
    "acme",
    ModelPlatformArgs(
        plan=plan_stack(SETTINGS, StackIdentity(pulumi.get_project(), pulumi.get_stack(), "acme-project")),
        token=pulumi.Output.secret("hf_theTokenOfAcme0123456789"),
        labels={"team": "acme"},
    ),
)

pulumi.export("urls", platform.urls)
pulumi.export("firstDeployment", platform.first_deployment)
