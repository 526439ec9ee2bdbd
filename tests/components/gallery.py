"""A program with every component in every variant, side by side. It is recorded, never imported."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

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
)
from components.node_identity import NodeIdentity, NodeIdentityArgs
from gke_llm_inference.planning import StackIdentity, StackPlan, plan_stack
from gke_llm_inference.settings import CreatedNetwork, parse_settings

OPEN_MODEL = "{server: vllm, model: Qwen/Qwen2.5-7B-Instruct}"

CLUSTERS = {
    "autopilot": """
        cluster: {mode: autopilot, location: us-central1}
    """,
    "autopilot-full": """
        cluster:
          mode: autopilot
          location: europe-west4
          name: chosen
          network: {mode: existing, network: vpc, subnetwork: subnet, podsRange: p, servicesRange: s}
          authorizedNetworks: [{cidr: 203.0.113.0/24, name: office}, {cidr: 198.51.100.0/24}]
          releaseChannel: RAPID
          maintenance: {startTime: "22:30", durationHours: 8, days: [SU, MO, MO]}
          deletionProtection: false
          databaseEncryption: {key: projects/keys-of-acme/locations/europe-west4/keyRings/gke/cryptoKeys/secrets}
          labels: {team: serving, cost-center: "42"}
    """,
    "standard": """
        cluster: {mode: standard, location: us-central1}
        nodePools: {l4: {}}
    """,
    "standard-full": """
        cluster:
          mode: standard
          location: us-central1
          zones: [us-central1-c, us-central1-a, us-central1-a]
          systemPool: {machineType: e2-standard-8, minNodes: 3, maxNodes: 9, diskSizeGb: 150}
          network: {mode: create, nodesCidr: 10.1.0.0/20, podsCidr: 10.32.0.0/14, servicesCidr: 10.36.0.0/20}
          labels: {team: serving}
        nodePools: {l4: {}}
    """,
    "existing": """
        cluster: {mode: existing, name: shared, location: europe-west4, profile: autopilot}
    """,
    "existing-nodes": """
        cluster:
          mode: existing
          name: shared
          location: us-central1
          nodeServiceAccount: nodes@my-project.iam.gserviceaccount.com
        nodePools: {joined: {}}
    """,
    "context": """
        cluster: {mode: existing, kubeconfigContext: kind-llm}
    """,
}

POOLS = {
    "on-demand": "{}",
    "spot": "{provisioning: {model: spot}, maxNodes: 4}",
    "reservation": "{provisioning: {model: reservation, name: l4s}}",
    "shared-reservation": "{provisioning: {model: reservation, name: l4s, project: capacity}}",
    "flex-start": "{provisioning: {model: flexStart, maxRunSeconds: 86400}}",
    "local-ssd": "{localSsds: 1}",
    "boot-disks": """
        secondaryBootDisks:
        - {image: projects/my-project/global/images/vllm}
        diskSizeGb: 300
        diskType: pd-ssd
    """,
    "data-disk": "{secondaryBootDisks: [{image: global/images/weights, mode: data}]}",
    "time-sharing": "{sharing: {strategy: timeSharing, maxClients: 4}}",
    "mps": "{sharing: {strategy: mps, maxClients: 2}}",
    "old-driver": "{driverVersion: default}",
    "tainted": """
        labels: {tier: gold}
        taints:
        - {key: team, value: serving}
        - {key: batch, value: "", effect: NO_EXECUTE}
    """,
    "quota-bound": "{deleteBeforeReplace: true, minNodes: 2, maxNodes: 3, zones: [us-central1-b, us-central1-a]}",
    "single": "{minNodes: 1, maxNodes: 1}",
    "four-gpus": "{accelerator: {type: nvidia-l4, count: 4}, machineType: g2-standard-48}",
}

TOKENS = {
    "from-config": "{tokenSource: config}",
    "from-config-elsewhere": "{tokenSource: config, secretName: hub, secretKey: api.key}",
    "from-existing": "{tokenSource: existingSecret}",
    "from-secret-manager": '{tokenSource: secretManager, secret: hf, projectNumber: "123456789012"}',
    "from-other-project": """
        tokenSource: secretManager
        secret: projects/vault/secrets/hf
        version: "7"
        projectNumber: "123456789012"
        secretName: hub
        secretKey: api.key
    """,
    "from-nowhere": "{tokenSource: none}",
}

AUTOPILOT = "{mode: autopilot, location: us-central1}"
STANDARD = "{mode: standard, location: us-central1}"
FROM_CONFIG = "{tokenSource: config}"

SERVERS = {
    "vllm": f"""
        cluster: {AUTOPILOT}
        huggingFace: {FROM_CONFIG}
        servers: {{vllm: {{server: vllm, model: google/gemma-7b-it, maxModelLen: 4096}}}}
    """,
    "tgi": f"""
        cluster: {STANDARD}
        huggingFace: {{tokenSource: existingSecret, secretName: hub, secretKey: api.key}}
        nodePools: {{l4: {{maxNodes: 2}}}}
        servers: {{tgi: {{server: tgi, model: google/gemma-7b-it, maxModelLen: 3072, maxInputTokens: 2048}}}}
    """,
    "large": f"""
        cluster: {STANDARD}
        huggingFace: {FROM_CONFIG}
        nodePools:
          l4:
            accelerator: {{count: 8}}
            maxNodes: 2
            taints: [{{key: team, value: serving}}, {{key: any, value: ""}}]
        servers:
          large:
            server: vllm
            model: meta-llama/Llama-3.1-70B-Instruct
            maxModelLen: 4096
            accelerator: {{type: nvidia-l4, count: 8}}
            replicas: 2
            resources: {{cpu: 20.5, memoryGib: 200}}
    """,
    "spot": f"""
        cluster: {AUTOPILOT}
        servers:
          spot:
            server: vllm
            model: Qwen/Qwen2.5-7B-Instruct
            provisioning: {{model: spot}}
            labels: {{team: serving, app: "1"}}
            image: europe-docker.pkg.dev/my-project/images/vllm:v0.26.0
    """,
    "paused": """
        cluster: {mode: existing, kubeconfigContext: kind-llm}
        servers: {paused: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct, replicas: 0}}
    """,
    "mounted": f"""
        cluster: {STANDARD}
        nodePools: {{l4: {{}}}}
        servers:
          mounted:
            server: vllm
            model: Qwen/Qwen2.5-7B-Instruct
            modelVolume: {{claim: models, path: qwen/7b, storage: gcsfuse}}
    """,
    "named": """
        cluster: {mode: autopilot, location: us-central1, fqdnNetworkPolicy: true}
        networkPolicy:
          allowFrom: [{namespaceLabels: {team: search}, podLabels: {app: web}}, {cidr: 10.200.0.0/24}]
          allowTo: [{host: "*.mirror.example.com", ports: [443, 8443]}]
        servers: {named: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct}}
    """,
    "open": f"""
        cluster: {AUTOPILOT}
        servers: {{open: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct, networkPolicy: {{enabled: false}}}}}}
    """,
    "crowd": f"""
        cluster: {STANDARD}
        nodePools: {{l4: {{maxNodes: 3}}}}
        servers: {{crowd: {{server: vllm, model: Qwen/Qwen2.5-7B-Instruct, replicas: 3}}}}
    """,
}


def plan(text: str, **more: Any) -> StackPlan:
    """The plan of a stack that is described in YAML, with one server unless it says otherwise."""
    raw = {"servers": {"any": yaml.safe_load(OPEN_MODEL)}, **yaml.safe_load(text), **more}
    return plan_stack(parse_settings(raw), StackIdentity(PROJECT, "test", "my-project"))


PROJECT = "gke-llm-inference"

clusters = {name: GkeCluster(name, GkeClusterArgs(plan=plan(text).cluster)) for name, text in CLUSTERS.items()}
standard = clusters["standard"]
provider = clusters["autopilot"].provider
on_cluster = pulumi.ResourceOptions(providers=[provider])
namespace = kubernetes.core.v1.Namespace("llm-inference", opts=pulumi.ResourceOptions(provider=provider))

for key, text in POOLS.items():
    settings = yaml.safe_load(text)
    count = settings.get("accelerator", {}).get("count", 1)
    pooled = plan(
        "{}",
        cluster={"mode": "standard", "location": "us-central1", "labels": {"team": "serving"}},
        nodePools={key: settings},
        # What matters is the pool; whether its GPUs hold the server as well is another matter.
        servers={
            "any": {
                **yaml.safe_load(OPEN_MODEL),
                "accelerator": {"type": "nvidia-l4", "count": count},
                "allowUnfit": True,
            }
        },
    )
    GpuNodePool(
        key,
        GpuNodePoolArgs(
            plan=pooled.node_pools[0],
            project="my-project",
            cluster=standard.cluster_name,
            location="us-central1",
            service_account=standard.node_service_account,
            resource_labels=pooled.cluster.labels,
            after=standard.before_gpu_pools,
        ),
    )

joined = clusters["existing-nodes"]
GpuNodePool(
    "joined",
    GpuNodePoolArgs(
        plan=plan(CLUSTERS["existing-nodes"]).node_pools[0],
        project="my-project",
        cluster=joined.cluster_name,
        location=joined.location,
        service_account=joined.node_service_account,
        after=joined.before_gpu_pools,
    ),
)

for name, text in TOKENS.items():
    HuggingFaceToken(
        name,
        HuggingFaceTokenArgs(
            plan=plan("{cluster: %s, huggingFace: %s}" % (AUTOPILOT, yaml.safe_load(text))).token,  # noqa: UP031
            token="hf_plainTextFromACareless0Caller" if name.startswith("from-config") else None,
            after=[namespace],
        ),
        on_cluster,
    )

try:
    HuggingFaceToken("from-config-without-one", HuggingFaceTokenArgs(plan=plan(SERVERS["vllm"]).token), on_cluster)
except pulumi.InputPropertiesError as error:
    pulumi.export("missingToken", error.errors)

pulumi.export(
    "urls",
    {
        name: InferenceServer(name, InferenceServerArgs(plan=plan(text).servers[0], after=[namespace]), on_cluster).url
        for name, text in SERVERS.items()
    },
)

# Options of the caller: what a component hands down, and what stays with it.
protected = pulumi.ResourceOptions(
    protect=True,
    aliases=[pulumi.Alias(name="former")],
    depends_on=[namespace],
    ignore_changes=["labels"],
    custom_timeouts=pulumi.CustomTimeouts(create="1h"),
    providers=[provider],
)
GkeCluster("protected-cluster", GkeClusterArgs(plan=plan(CLUSTERS["standard"]).cluster), protected)
GpuNodePool(
    "protected-pool",
    GpuNodePoolArgs(
        plan=plan(CLUSTERS["standard"]).node_pools[0], project="my-project", cluster="shared", location="us-central1"
    ),
    protected,
)
HuggingFaceToken(
    "protected-token", HuggingFaceTokenArgs(plan=plan(SERVERS["vllm"]).token, token="hf_protected"), protected
)
InferenceServer("protected-server", InferenceServerArgs(plan=plan(SERVERS["crowd"]).servers[0]), protected)
InferenceStack(
    "protected-stack",
    InferenceStackArgs(
        plan=plan(CLUSTERS["autopilot"], createNamespace=False, servers={"pieces": yaml.safe_load(OPEN_MODEL)})
    ),
    protected,
)
Network(
    "protected-network",
    NetworkArgs(settings=CreatedNetwork(mode="create"), project="my-project", region="us-central1"),
    protected,
)
NodeIdentity("protected-nodes", NodeIdentityArgs(account_id="protected-nodes", project="my-project"), protected)
