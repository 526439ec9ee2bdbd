"""Whole stacks and every component, with a transform of each kind. It is recorded, never imported."""

from collections.abc import Iterator
from typing import Any

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
    InferenceStack,
    InferenceStackArgs,
    Network,
    NetworkArgs,
    NodeIdentity,
    NodeIdentityArgs,
    StackResources,
    create_stack,
)
from gke_llm_inference import StackIdentity, parse_settings, plan_stack
from gke_llm_inference.settings import CreatedNetwork

plan = plan_stack(
    parse_settings(
        {
            "cluster": {"mode": "standard", "location": "us-central1"},
            "huggingFace": {"tokenSource": "secretManager", "secret": "hf", "projectNumber": "123456789012"},
            "nodePools": {"l4": {"maxNodes": 3}},
            "servers": {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096, "replicas": 3}},
        }
    ),
    StackIdentity("gke-llm-inference", "test", "my-project"),
)

autopilot = plan_stack(
    parse_settings(
        {
            "cluster": {"mode": "autopilot", "location": "us-central1"},
            "huggingFace": {"tokenSource": "config"},
            "servers": {"gemma": {"server": "vllm", "model": "google/gemma-7b-it", "maxModelLen": 4096}},
        }
    ),
    StackIdentity("gke-llm-inference", "test", "my-project"),
)


def transform(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
    """Marks what it sees with an option that no child takes from its parent."""
    marked = pulumi.ResourceOptions(ignore_changes=["transform"])
    return pulumi.ResourceTransformResult(args.props, pulumi.ResourceOptions.merge(args.opts, marked))


def transformation(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """The same, of the older kind."""
    marked = pulumi.ResourceOptions(ignore_changes=["transformation"])
    return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, marked))


opts = pulumi.ResourceOptions(transforms=[transform], transformations=[transformation])
on_cluster = pulumi.ResourceOptions.merge(
    opts, pulumi.ResourceOptions(providers=[kubernetes.Provider("mine", context="mine")])
)
stack = create_stack(plan, opts=opts)
GkeCluster("cluster", GkeClusterArgs(plan=plan.cluster), opts)
GpuNodePool("pool", GpuNodePoolArgs(plan=plan.node_pools[0], project="p", cluster="c", location="us-central1"), opts)
HuggingFaceToken("token", HuggingFaceTokenArgs(plan=plan.token), on_cluster)
InferenceServer("server", InferenceServerArgs(plan=plan.servers[0]), on_cluster)
below = InferenceStack(
    "stack", InferenceStackArgs(plan=autopilot, token=pulumi.Output.secret("hf_plantedPlanted0123456")), opts
)
Network("network", NetworkArgs(settings=CreatedNetwork(mode="create"), project="p", region="us-central1"), opts)
NodeIdentity("identity", NodeIdentityArgs(account_id="nodes-of-p", project="p"), opts)


def reached(item: Any) -> Iterator[pulumi.Output[str]]:
    """URN of every resource that a program comes to through public attributes."""
    if isinstance(item, pulumi.Resource):
        yield item.urn
    if isinstance(item, pulumi.ComponentResource):
        for name, value in vars(item).items():
            if not name.startswith("_"):
                yield from reached(value)
    elif isinstance(item, list):
        for one in item:
            yield from reached(one)
    elif isinstance(item, StackResources):
        pieces = [item.cluster, item.namespace, item.token, *item.node_pools.values(), *item.servers.values()]
        yield from reached(pieces)


pulumi.export("stack", list(reached(stack)))
pulumi.export("below", list(reached(below.resources)))
