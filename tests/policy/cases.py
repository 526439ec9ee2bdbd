"""For each policy, stacks that break it, with the exact messages, and stacks that do not."""

from dataclasses import dataclass, replace
from typing import Any

from gke_llm_inference.preview.recording import Recording, Resource
from tests.support import CLUSTER, DEPLOYMENT, DISRUPTION_BUDGET, NETWORK_POLICY, NODE_POOL, SERVICE

STACK = "prod"
ALERT_POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
POD_MONITORING = "kubernetes:monitoring.googleapis.com/v1:PodMonitoring"
TOKEN = "hf_" + "Planted0" * 4
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
DIGEST = "sha256:" + "a" * 64
COMMIT = "a" * 40
UNKNOWN = "[unknown]"
SECRET = "[secret]"
NODES = "nodes@my-project.iam.gserviceaccount.com"
LABELS = {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/part-of": "gke-llm-inference"}

Properties = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A stack and what a policy says to it: the resource's name, empty for the stack, and the message."""

    policy: str
    title: str
    resources: tuple[Resource, ...]
    expected: tuple[tuple[str, str], ...] = ()

    @property
    def recording(self) -> Recording:
        return Recording(project="gke-llm-inference", stack=STACK, resources=self.resources)

    def __str__(self) -> str:
        return f"{self.policy}: {self.title}"


def resource(type_: str, name: str, properties: Properties, **more: Any) -> Resource:
    urn = f"urn:pulumi:{STACK}::gke-llm-inference::{type_}::{name}"
    return Resource(urn=urn, type=type_, name=name, parent=None, custom=True, inputs=properties, **more)


def without(properties: Properties, *keys: str) -> Properties:
    return {key: value for key, value in properties.items() if key not in keys}


PROBE = {"httpGet": {"path": "/health", "port": "http"}}
CONTAINER: Properties = {
    "name": "inference-server",
    "image": f"vllm/vllm-openai:v0.26.0@{DIGEST}",
    "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "14Gi"}, "requests": {"nvidia.com/gpu": "1"}},
    "startupProbe": PROBE,
    "readinessProbe": PROBE,
    "livenessProbe": PROBE,
}
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}


def pod(*containers: Properties, **spec: Any) -> Properties:
    return {
        "metadata": {"labels": LABELS},
        "spec": {
            "serviceAccountName": "server",
            "nodeSelector": L4,
            "containers": list(containers) or [CONTAINER],
            **spec,
        },
    }


def server(*containers: Properties, replicas: Any = 1, name: str = "server", **spec: Any) -> Resource:
    metadata = {"name": name, "namespace": "llm", "labels": LABELS}
    return resource(
        DEPLOYMENT, name, {"metadata": metadata, "spec": {"replicas": replicas, "template": pod(*containers, **spec)}}
    )


def with_container(**changes: Any) -> Resource:
    return server({**CONTAINER, **changes})


def disruption_budget(spec: Properties, namespace: str = "llm") -> Resource:
    selector = {"selector": {"matchLabels": {"app.kubernetes.io/name": "vllm"}}}
    return resource(DISRUPTION_BUDGET, "budget", {"metadata": {"namespace": namespace}, "spec": {**selector, **spec}})


def network_policy(namespace: str = "llm", **changes: Any) -> Resource:
    spec: Properties = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "vllm"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 8000}]}],
    }
    return resource(NETWORK_POLICY, "guard", {"metadata": {"namespace": namespace}, "spec": {**spec, **changes}})


def pod_monitoring(namespace: str = "llm", **changes: Any) -> Resource:
    spec = {"selector": {"matchLabels": LABELS}, "endpoints": [{"port": "http", "interval": "30s"}], **changes}
    return resource(POD_MONITORING, "metrics", {"metadata": {"namespace": namespace}, "spec": spec})


def alert(server: str = "server", **changes: Any) -> Resource:
    query = f'sum(up{{job="{server}"}}) < 1'
    properties = {
        "displayName": "down",
        "conditions": [{"displayName": "server", "conditionPrometheusQueryLanguage": {"query": query}}],
        "notificationChannels": ["projects/my-project/notificationChannels/1"],
        **changes,
    }
    return resource(ALERT_POLICY, f"alert-{server}", properties)


IN_CLASS = {"cloud.google.com/compute-class": "chat"}
COMPUTE_CLASS = resource(
    "kubernetes:cloud.google.com/v1:ComputeClass",
    "class",
    {
        "metadata": {"name": "chat"},
        "spec": {
            "priorities": [
                {"machineType": "g2-standard-8", "gpu": {"type": "nvidia-l4", "count": 1}},
                {"machineType": "a2-highgpu-1g", "gpu": {"type": "nvidia-tesla-a100", "count": 1}},
            ]
        },
    },
)
UNCOLLECTED = ("server", "has no PodMonitoring, so that its metrics are not collected")
UNTOLD = ("server", "has no alert policy that names it")
UNGUARDED = tuple(("server", f"has no NetworkPolicy that denies {direction}") for direction in ("egress", "ingress"))

CLUSTER_PROPERTIES: Properties = {
    "location": "us-central1",
    "privateClusterConfig": {"enablePrivateNodes": True},
    "nodeConfig": {"serviceAccount": NODES, "oauthScopes": [SCOPE]},
    "resourceLabels": {"environment": "prod"},
}
AUTOPILOT: Properties = {
    **without(CLUSTER_PROPERTIES, "nodeConfig"),
    "enableAutopilot": True,
    "clusterAutoscaling": {"autoProvisioningDefaults": {"serviceAccount": NODES, "oauthScopes": [SCOPE]}},
}
NODE_CONFIG: Properties = {
    "machineType": "g2-standard-8",
    "guestAccelerators": [{"type": "nvidia-l4", "count": 1}],
    "serviceAccount": NODES,
    "oauthScopes": [SCOPE],
    "resourceLabels": {"environment": "prod"},
}
POOL_PROPERTIES: Properties = {
    "location": "us-central1",
    "autoscaling": {"totalMinNodeCount": 0, "totalMaxNodeCount": 3},
    "nodeConfig": NODE_CONFIG,
}


def cluster(**changes: Any) -> Resource:
    return resource(CLUSTER, "cluster", {**CLUSTER_PROPERTIES, **changes})


def networks(*ranges: str) -> Properties:
    return {"cidrBlocks": [{"cidrBlock": one} for one in ranges]}


def pool(node_config: Properties | None = None, name: str = "l4", **changes: Any) -> Resource:
    properties = {**POOL_PROPERTIES, **changes}
    return resource(NODE_POOL, name, {**properties, "nodeConfig": {**NODE_CONFIG, **(node_config or {})}})


def service(spec: Properties, annotations: dict[str, str] | None = None) -> Resource:
    metadata = {"name": "server", "namespace": "llm", "annotations": annotations or {}}
    return resource(SERVICE, "server", {"metadata": metadata, "spec": spec})


def custom(group: str, kind: str, name: str, spec: Properties, annotations: dict[str, str] | None = None) -> Resource:
    metadata = {"name": name, "namespace": "llm", "annotations": annotations or {}}
    return resource(f"kubernetes:{group}:{kind}", name, {"metadata": metadata, "spec": spec})


GATEWAY = custom(
    "gateway.networking.k8s.io/v1", "Gateway", "door", {"gatewayClassName": "gke-l7-global-external-managed"}
)
INTERNAL_GATEWAY = custom("gateway.networking.k8s.io/v1", "Gateway", "door", {"gatewayClassName": "gke-l7-rilb"})
ROUTE = custom(
    "gateway.networking.k8s.io/v1",
    "HTTPRoute",
    "route",
    {"parentRefs": [{"name": "door"}], "rules": [{"backendRefs": [{"name": "server", "port": 8000}]}]},
)
INGRESS = custom("networking.k8s.io/v1", "Ingress", "door", {"defaultBackend": {"service": {"name": "server"}}})


def backend_policy(default: Any) -> Resource:
    spec = {"default": default, "targetRef": {"group": "", "kind": "Service", "name": "server"}}
    return custom("networking.gke.io/v1", "GCPBackendPolicy", "policy", spec)


def backend_config(iap: Any) -> Resource:
    return custom("cloud.google.com/v1", "BackendConfig", "config", {"iap": {"enabled": iap}})


BEHIND = service({"type": "ClusterIP"}, {"cloud.google.com/backend-config": '{"default": "config"}'})
CHAT = (("POST", "/v1/chat/completions"), ("GET", "/v1/models"))
API_KEY = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api_key"}}}
TGI_KEY = {**API_KEY, "name": "API_KEY"}


def exact_route(*matches: Any) -> Resource:
    """A route that lets through paths by method."""
    shown = [
        one if one == UNKNOWN else {"method": one[0], "path": {"type": "Exact", "value": one[1]}} for one in matches
    ]
    spec = {"parentRefs": [{"name": "door"}], "rules": [{"matches": shown, "backendRefs": [{"name": "server"}]}]}
    return custom("gateway.networking.k8s.io/v1", "HTTPRoute", "route", spec)


def pooled_route() -> Resource:
    """A route to an InferencePool."""
    backend = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "pool"}
    matches = [{"method": method, "path": {"type": "Exact", "value": path}} for method, path in CHAT]
    spec = {"parentRefs": [{"name": "door"}], "rules": [{"matches": matches, "backendRefs": [backend]}]}
    return custom("gateway.networking.k8s.io/v1", "HTTPRoute", "route", spec)


POOL = custom("inference.networking.k8s.io/v1", "InferencePool", "pool", {"selector": {"matchLabels": LABELS}})
OTHER_POOL = custom(
    "inference.networking.k8s.io/v1",
    "InferencePool",
    "pool",
    {"selector": {"matchLabels": {"app.kubernetes.io/name": "other"}}},
)


def keyed(*variables: Any, args: list[str] | None = None) -> tuple[Resource, ...]:
    """A server with a Service before it, and what it has of keys."""
    container = {**CONTAINER, "env": UNKNOWN if variables == (UNKNOWN,) else list(variables), "args": args or []}
    volumes = [{"name": "api-keys", "secret": {"secretName": "keys"}}]
    return (service({"type": "ClusterIP", "selector": LABELS}), server(container, volumes=volumes))


def listening(*listeners: Properties) -> Resource:
    """A Gateway of a class that is not known."""
    spec = {"gatewayClassName": UNKNOWN, "listeners": list(listeners)}
    return custom("gateway.networking.k8s.io/v1", "Gateway", "door", spec)


BALANCER = service({"type": "LoadBalancer"})
INTERNAL_BALANCER = service({"type": "LoadBalancer"}, {"networking.gke.io/load-balancer-type": "Internal"})


def iam(role: Any) -> Resource:
    return resource("gcp:projects/iAMMember:IAMMember", "grant", {"role": role, "member": UNKNOWN})


def environment(*variables: Properties) -> Resource:
    return with_container(env=list(variables))


def overriding(paths: str) -> Resource:
    """A server whose Deployment says what its podPatch overrides."""
    metadata = {"namespace": "llm", "annotations": {"llm-inference/pod-overrides": paths}}
    return replace(server(), inputs={**server().inputs, "metadata": metadata})


_ENV = "spec.template.spec.containers[0].env[0]"
_ARGS = "spec.template.spec.containers[0].args"
_CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
_PLAIN = "holds a credential in plain text"
_LOADS = "container inference-server: VLLM_ALLOW_RUNTIME_LORA_UPDATING lets clients load adapters"
_NO_KEY = "and some of it without an API key"
_PUBLIC_BALANCER = "is a public load balancer without authentication"
# 730 hours × 20 GPUs × 0.7068 USD
_BUDGET = (
    "GPU machines may cost 10,319 USD a month at the list prices of us-central1, more than the ceiling of 10,000 USD"
)

CASES = (
    # pinned-images
    Case(
        "pinned-images",
        "no tag",
        (with_container(image="vllm/vllm-openai"),),
        (("server", "container inference-server: image vllm/vllm-openai has neither tag nor digest"),),
    ),
    Case(
        "pinned-images",
        "a port is no tag",
        (with_container(image="registry:5000/vllm"),),
        (("server", "container inference-server: image registry:5000/vllm has neither tag nor digest"),),
    ),
    Case(
        "pinned-images",
        "latest",
        (server(CONTAINER, initContainers=[{"name": "fetch", "image": "curl:latest"}]),),
        (("server", "init container fetch: image curl has the tag latest"),),
    ),
    Case("pinned-images", "tag", (with_container(image="registry:5000/vllm:v1"),)),
    Case("pinned-images", "digest alone", (with_container(image=f"vllm@{DIGEST}"),)),
    Case("pinned-images", "unknown", (with_container(image=UNKNOWN),)),
    # image-digests
    Case(
        "image-digests",
        "tag alone",
        (with_container(image="vllm:v1"),),
        (("server", "container inference-server: image vllm:v1 has no digest"),),
    ),
    Case("image-digests", "tag and digest", (server(),)),
    Case("image-digests", "unknown", (with_container(image=UNKNOWN),)),
    # model-revisions
    Case(
        "model-revisions",
        "no revision",
        (with_container(args=["acme/model", "--port=8000"]),),
        (("server", "container inference-server: its model is not pinned to a commit"),),
    ),
    Case(
        "model-revisions",
        "a branch",
        (with_container(args=["acme/model", "--revision=main"]),),
        (("server", "container inference-server: its model is not pinned to a commit"),),
    ),
    Case("model-revisions", "a commit", (with_container(args=["acme/model", f"--revision={COMMIT}"]),)),
    Case("model-revisions", "a commit in two words", (with_container(args=["acme/model", "--revision", COMMIT]),)),
    Case("model-revisions", "a store", (with_container(args=[f"gs://ours/acme/model/{COMMIT}", "--port=8000"]),)),
    Case(
        "model-revisions",
        "a volume",
        (with_container(args=["/models/model"], env=[{"name": "HF_HUB_OFFLINE", "value": "1"}]),),
    ),
    Case("model-revisions", "unknown arguments", (with_container(args=UNKNOWN),)),
    Case("model-revisions", "an unknown argument", (with_container(args=["acme/model", UNKNOWN]),)),
    Case("model-revisions", "unknown variables", (with_container(args=["acme/model"], env=[UNKNOWN]),)),
    # pod-overrides
    Case(
        "pod-overrides",
        "two paths",
        (overriding("spec.schedulerName, spec.containers[inference-server].image"),),
        (
            ("server", "overrides spec.containers[inference-server].image, which the plan decided"),
            ("server", "overrides spec.schedulerName, which the plan decided"),
        ),
    ),
    Case("pod-overrides", "none", (server(),)),
    Case("pod-overrides", "unknown", (overriding(UNKNOWN),)),
    # gpu-limits
    Case(
        "gpu-limits",
        "requests alone",
        (with_container(resources={"requests": {"nvidia.com/gpu": 1}}),),
        (
            ("server", "container inference-server: has no limit of memory"),
            ("server", "container inference-server: has no limit of nvidia.com/gpu"),
        ),
    ),
    Case(
        "gpu-limits",
        "GPU node without GPU",
        (with_container(resources={"limits": {"memory": "1Gi"}}),),
        (("server", "its pods select nodes with nvidia-l4, but no container has a limit of nvidia.com/gpu"),),
    ),
    Case("gpu-limits", "both limits", (server(),)),
    Case("gpu-limits", "a container without GPU", (server(CONTAINER, {"name": "proxy", "image": "proxy:1"}),)),
    Case("gpu-limits", "unknown resources", (with_container(resources=UNKNOWN),)),
    Case("gpu-limits", "unknown limits", (with_container(resources={"limits": UNKNOWN}),)),
    # probes
    Case(
        "probes",
        "none",
        (server(without(CONTAINER, "startupProbe", "readinessProbe", "livenessProbe")),),
        (
            ("server", "container inference-server: has no livenessProbe"),
            ("server", "container inference-server: has no readinessProbe"),
            ("server", "container inference-server: has no startupProbe"),
        ),
    ),
    Case("probes", "all", (server(),)),
    Case("probes", "unknown", (with_container(livenessProbe=UNKNOWN),)),
    Case(
        "probes",
        "a Job",
        (resource("kubernetes:batch/v1:Job", "job", {"spec": {"template": pod(without(CONTAINER, "startupProbe"))}}),),
    ),
    # server-identity
    Case(
        "server-identity",
        "default",
        (server(serviceAccountName="default"),),
        (("server", "its pods run as the namespace's default service account"),),
    ),
    Case(
        "server-identity",
        "none",
        (server(serviceAccountName=None),),
        (("server", "its pods run as the namespace's default service account"),),
    ),
    Case("server-identity", "own", (server(),)),
    Case("server-identity", "unknown", (server(serviceAccountName=UNKNOWN),)),
    # network-policies
    Case("network-policies", "none", (server(),), UNGUARDED),
    Case("network-policies", "of another namespace", (server(), network_policy(namespace="other")), UNGUARDED),
    Case(
        "network-policies",
        "for other pods",
        (server(), network_policy(podSelector={"matchLabels": {"app.kubernetes.io/name": "tgi"}})),
        UNGUARDED,
    ),
    Case(
        "network-policies",
        "one direction",
        (server(), network_policy(policyTypes=["Ingress"])),
        (("server", "has no NetworkPolicy that denies egress"),),
    ),
    Case(
        "network-policies",
        "no types",
        (server(), network_policy(policyTypes=None)),
        (("server", "has no NetworkPolicy that denies egress"),),
    ),
    Case(
        "network-policies",
        "everybody",
        (server(), network_policy(ingress=[{"ports": [{"port": 8000}]}, {"from": []}])),
        (
            ("guard", "its ingress rule 0 lets in everybody"),
            ("guard", "its ingress rule 1 lets in everybody"),
        ),
    ),
    Case(
        "network-policies",
        "the internet",
        (server(), network_policy(ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])),
        (("guard", "its ingress rule 0 lets in the internet: 0.0.0.0/0"),),
    ),
    Case("network-policies", "both directions", (server(), network_policy())),
    Case("network-policies", "every pod of the namespace", (server(), network_policy(podSelector={}))),
    Case("network-policies", "types by its rules", (server(), network_policy(policyTypes=None, egress=[{"to": []}]))),
    Case(
        "network-policies",
        "two policies",
        (server(), network_policy(policyTypes=["Ingress"]), network_policy(policyTypes=["Egress"], ingress=None)),
    ),
    Case("network-policies", "no GPU", (resource(DEPLOYMENT, "server", {"spec": {"template": {"spec": {}}}}),)),
    Case(
        "network-policies",
        "unknown",
        (server(), network_policy(podSelector=UNKNOWN, policyTypes=[UNKNOWN], ingress=UNKNOWN)),
    ),
    # server-alerts
    Case("server-alerts", "none", (server(),), (UNCOLLECTED, UNTOLD)),
    Case("server-alerts", "metrics alone", (server(), pod_monitoring()), (UNTOLD,)),
    Case("server-alerts", "of another namespace", (server(), pod_monitoring("other"), alert()), (UNCOLLECTED,)),
    Case("server-alerts", "of another server", (server(), pod_monitoring(), alert("server-b")), (UNTOLD,)),
    Case("server-alerts", "called after it", (server(), pod_monitoring(), alert("b", displayName="server")), (UNTOLD,)),
    Case("server-alerts", "off", (server(), pod_monitoring(), alert(enabled=False)), (UNTOLD,)),
    Case(
        "server-alerts",
        "for nobody",
        (server(), pod_monitoring(), alert(notificationChannels=[])),
        (("server", "has alert policies, but none with a notification channel"),),
    ),
    Case("server-alerts", "told", (server(), pod_monitoring(), alert())),
    Case("server-alerts", "one of two tells", (server(), pod_monitoring(), alert(notificationChannels=None), alert())),
    Case("server-alerts", "no pods", (server(replicas=0),)),
    Case("server-alerts", "no GPU", (resource(DEPLOYMENT, "server", {"spec": {"template": {"spec": {}}}}),)),
    Case(
        "server-alerts",
        "unknown",
        (server(), pod_monitoring(selector=UNKNOWN), alert(conditions=UNKNOWN, notificationChannels=UNKNOWN)),
    ),
    # disruption-budgets
    Case(
        "disruption-budgets",
        "none",
        (server(replicas=2),),
        (("server", "has 2 replicas and no PodDisruptionBudget"),),
    ),
    Case(
        "disruption-budgets",
        "of another namespace",
        (server(replicas=3), disruption_budget({"maxUnavailable": 1}, namespace="other")),
        (("server", "has 3 replicas and no PodDisruptionBudget"),),
    ),
    Case(
        "disruption-budgets",
        "for other pods",
        (
            server(replicas=2),
            disruption_budget(
                {"selector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, "maxUnavailable": 1}
            ),
        ),
        (("server", "has 2 replicas and no PodDisruptionBudget"),),
    ),
    Case(
        "disruption-budgets",
        "lets none go",
        (server(replicas=2), disruption_budget({"maxUnavailable": 0})),
        (("budget", "lets none of the 2 pods of server go"),),
    ),
    Case(
        "disruption-budgets",
        "wants the only one",
        (server(), disruption_budget({"minAvailable": 1})),
        (("budget", "lets none of the 1 pods of server go"),),
    ),
    Case(
        "disruption-budgets",
        "an autoscaler's most",
        (
            server(replicas=None),
            custom(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                "scaler",
                {"scaleTargetRef": {"kind": "Deployment", "name": "server"}, "maxReplicas": 3},
            ),
        ),
        (("server", "has 3 replicas and no PodDisruptionBudget"),),
    ),
    Case("disruption-budgets", "one replica", (server(),)),
    Case("disruption-budgets", "one at a time", (server(replicas=2), disruption_budget({"maxUnavailable": 1}))),
    Case("disruption-budgets", "unknown replicas", (server(replicas=UNKNOWN),)),
    Case("disruption-budgets", "unknown selector", (server(replicas=2), disruption_budget({"selector": UNKNOWN}))),
    # authenticated-entry
    Case("authenticated-entry", "public Service", (BALANCER,), (("server", _PUBLIC_BALANCER),)),
    Case("authenticated-entry", "internal Service", (INTERNAL_BALANCER,)),
    Case("authenticated-entry", "cluster IP", (service({"type": "ClusterIP"}),)),
    Case("authenticated-entry", "unknown type", (service({"type": UNKNOWN}),)),
    Case(
        "authenticated-entry",
        "Gateway without IAP",
        (GATEWAY, ROUTE),
        (("door", f"is a public Gateway, whose HTTPRoute route leads to server without IAP, {_NO_KEY}"),),
    ),
    Case(
        "authenticated-entry",
        "Gateway with IAP off",
        (GATEWAY, ROUTE, backend_policy({"iap": {"enabled": False}})),
        (("door", f"is a public Gateway, whose HTTPRoute route leads to server without IAP, {_NO_KEY}"),),
    ),
    Case("authenticated-entry", "Gateway with IAP", (GATEWAY, ROUTE, backend_policy({"iap": {"enabled": True}}))),
    Case("authenticated-entry", "internal Gateway", (INTERNAL_GATEWAY, ROUTE)),
    Case("authenticated-entry", "paths that the key guards", (GATEWAY, exact_route(*CHAT), *keyed(API_KEY))),
    Case("authenticated-entry", "a pool of pods with keys", (GATEWAY, pooled_route(), POOL, *keyed(API_KEY))),
    *(
        Case(
            "authenticated-entry",
            title,
            (GATEWAY, pooled_route(), *resources),
            (("door", f"is a public Gateway, whose HTTPRoute route leads to pool without IAP, {_NO_KEY}"),),
        )
        for title, resources in {
            "a pool of pods without keys": (POOL, *keyed()),
            "a pool of other pods": (OTHER_POOL, *keyed(API_KEY)),
            "a pool that is nowhere": keyed(API_KEY),
            "a policy of a Service with the pool's name": (
                POOL,
                custom(
                    "networking.gke.io/v1",
                    "GCPBackendPolicy",
                    "policy",
                    {
                        "default": {"iap": {"enabled": True}},
                        "targetRef": {"group": "", "kind": "Service", "name": "pool"},
                    },
                ),
                *keyed(),
            ),
        }.items()
    ),
    Case("authenticated-entry", "keys of a file", (GATEWAY, exact_route(*CHAT), *keyed(args=["--config", "/k.yaml"]))),
    Case("authenticated-entry", "unknown variables", (GATEWAY, exact_route(*CHAT), *keyed(UNKNOWN))),
    *(
        Case(
            "authenticated-entry",
            title,
            stack,
            (("door", f"is a public Gateway, whose HTTPRoute route leads to server without IAP, {_NO_KEY}"),),
        )
        for title, stack in (
            ("no key", (GATEWAY, exact_route(*CHAT), *keyed())),
            ("an empty key in clear", (GATEWAY, exact_route(*CHAT), *keyed({"name": "VLLM_API_KEY", "value": ""}))),
            ("another server's key", (GATEWAY, exact_route(*CHAT), *keyed({**API_KEY, "name": "API_KEY_OF_MINE"}))),
            (
                "an open path",
                (GATEWAY, exact_route(("POST", "/v1/completions"), ("POST", "/invocations")), *keyed(API_KEY)),
            ),
            ("every path", (GATEWAY, ROUTE, *keyed(API_KEY))),
            (
                "a path of a server whose key guards others",
                (GATEWAY, exact_route(("GET", "/v1/models")), *keyed(TGI_KEY)),
            ),
        )
    ),
    # internal-authentication
    Case(
        "internal-authentication",
        "no key",
        (INTERNAL_GATEWAY, exact_route(*CHAT), *keyed()),
        (("door", f"its HTTPRoute route leads to server, {_NO_KEY}"),),
    ),
    Case("internal-authentication", "a key", (INTERNAL_GATEWAY, exact_route(*CHAT), *keyed(API_KEY))),
    Case("internal-authentication", "on the internet", (GATEWAY, ROUTE)),
    Case("internal-authentication", "unknown matches", (INTERNAL_GATEWAY, exact_route(UNKNOWN), *keyed(API_KEY))),
    # encrypted-entry
    Case(
        "encrypted-entry",
        "HTTP beside HTTPS",
        (listening({"protocol": "HTTPS"}, {"protocol": "HTTP"}),),
        (("door", "listens without TLS: spec.listeners[1].protocol"),),
    ),
    Case("encrypted-entry", "HTTPS", (listening({"protocol": "HTTPS"}),)),
    Case("encrypted-entry", "unknown protocol", (listening({"protocol": UNKNOWN}),)),
    # allowed-exposures; each environment allows both as they are shipped
    Case("allowed-exposures", "internal and external", (INTERNAL_GATEWAY, GATEWAY, BALANCER)),
    Case("allowed-exposures", "unknown class", (listening(),)),
    Case("authenticated-entry", "unknown policy", (GATEWAY, ROUTE, backend_policy(UNKNOWN))),
    Case(
        "authenticated-entry",
        "Ingress without IAP",
        (INGRESS, service({"type": "ClusterIP"})),
        (("door", "is a public Ingress, whose Service server has no BackendConfig with IAP"),),
    ),
    Case("authenticated-entry", "Ingress with IAP", (INGRESS, BEHIND, backend_config(True))),
    Case(
        "authenticated-entry",
        "Ingress with IAP off",
        (INGRESS, BEHIND, backend_config(False)),
        (("door", "is a public Ingress, whose Service server has no BackendConfig with IAP"),),
    ),
    # token-from-secret
    Case(
        "token-from-secret",
        "literal variable",
        (environment({"name": "HF_TOKEN", "value": "anything"}),),
        (("server", f"{_ENV}.value {_PLAIN}"),),
    ),
    Case(
        "token-from-secret",
        "what looks like a token",
        (environment({"name": "NOTE", "value": f"use {TOKEN}"}),),
        (("server", f"{_ENV}.value {_PLAIN}"),),
    ),
    Case(
        "token-from-secret",
        "a secret in clear",
        (environment({"name": "HF_TOKEN", "value": SECRET}),),
        (("server", f"{_ENV}.value {_PLAIN}"),),
    ),
    Case(
        "token-from-secret",
        "from a ConfigMap",
        (environment({"name": "HF_TOKEN", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "token"}}}),),
        (("server", f"{_ENV}.valueFrom.configMapKeyRef {_PLAIN}"),),
    ),
    Case(
        "token-from-secret",
        "arguments",
        (with_container(args=["--api-key", "abc", "--hf-token=def", "--model=x"]),),
        (("server", f"{_ARGS}[1] {_PLAIN}"), ("server", f"{_ARGS}[2] {_PLAIN}")),
    ),
    Case(
        "token-from-secret",
        "a shell's argument",
        (with_container(args=["-c", "vllm serve --api-key abc"]),),
        (("server", f"{_ARGS}[1] {_PLAIN}"),),
    ),
    Case(
        "token-from-secret",
        "ConfigMap",
        (resource(_CONFIG_MAP, "map", {"data": {"token": TOKEN, TOKEN: "x"}}),),
        (("map", f"data.[secret] {_PLAIN}"), ("map", f"data.token {_PLAIN}")),
    ),
    Case(
        "token-from-secret",
        "machine metadata",
        (pool({"metadata": {"startup-script": f"export HF_TOKEN={TOKEN}"}}),),
        (("l4", f"nodeConfig.metadata.startup-script {_PLAIN}"),),
    ),
    Case(
        "token-from-secret",
        "from a Secret",
        (
            environment({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}),
            resource("kubernetes:core/v1:Secret", "hf", {"stringData": {"token": SECRET}}),
        ),
    ),
    Case(
        "token-from-secret",
        "a chart's values, which Helm keeps in a Secret",
        (resource("kubernetes:helm.sh/v3:Release", "chart", {"chart": "router", "values": {"key": SECRET}}),),
    ),
    Case("token-from-secret", "a reference", (with_container(args=["--api-key", "$(API_KEY)", "--api-key=$(KEY)"]),)),
    Case("token-from-secret", "unknown", (environment({"name": "HF_TOKEN", "value": UNKNOWN}),)),
    # client-adapters
    Case(
        "client-adapters",
        "clients may load",
        (environment({"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"}),),
        (("server", _LOADS),),
    ),
    Case(
        "client-adapters",
        "a ConfigMap says whether",
        (
            environment(
                {
                    "name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
                    "valueFrom": {"configMapKeyRef": {"name": "map", "key": "lora"}},
                }
            ),
        ),
        (("server", _LOADS),),
    ),
    Case("client-adapters", "off", (environment({"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "0"}),)),
    Case("client-adapters", "unknown", (environment({"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": UNKNOWN}),)),
    # deletion-protection
    Case(
        "deletion-protection",
        "off",
        (cluster(deletionProtection=False),),
        (("cluster", "can be deleted: deletionProtection is false"),),
    ),
    Case("deletion-protection", "on", (cluster(deletionProtection=True),)),
    Case("deletion-protection", "the provider's default", (cluster(),)),
    Case(
        "deletion-protection",
        "protected by Pulumi",
        (resource(CLUSTER, "cluster", {**CLUSTER_PROPERTIES, "deletionProtection": False}, protect=True),),
    ),
    Case("deletion-protection", "unknown", (cluster(deletionProtection=UNKNOWN),)),
    # control-plane-access
    Case(
        "control-plane-access",
        "every address, IPv6 too",
        (cluster(masterAuthorizedNetworksConfig=networks("0.0.0.0/0", "::/0", "203.0.113.0/24")),),
        (
            ("cluster", "its control plane is open to the internet: 0.0.0.0/0 is among its authorized networks"),
            ("cluster", "its control plane is open to the internet: ::/0 is among its authorized networks"),
        ),
    ),
    Case(
        "control-plane-access",
        "every address in two halves, and an eighth of IPv6",
        (cluster(masterAuthorizedNetworksConfig=networks("0.0.0.0/1", "128.0.0.0/1", "2000::/3")),),
        (
            ("cluster", "its control plane is open to the internet: 0.0.0.0/1 is among its authorized networks"),
            ("cluster", "its control plane is open to the internet: 128.0.0.0/1 is among its authorized networks"),
            ("cluster", "its control plane is open to the internet: 2000::/3 is among its authorized networks"),
        ),
    ),
    Case(
        "control-plane-access",
        "no authorized networks at all",
        (cluster(),),
        (("cluster", "its control plane is open to the internet: it has no authorized networks"),),
    ),
    Case(
        "control-plane-access",
        "every machine of Google Cloud",
        (cluster(masterAuthorizedNetworksConfig={**networks("203.0.113.0/24"), "gcpPublicCidrsAccessEnabled": True}),),
        (
            (
                "cluster",
                "its control plane is open to the internet: gcpPublicCidrsAccessEnabled lets in every machine of "
                "Google Cloud",
            ),
        ),
    ),
    Case(
        "control-plane-access",
        "offices and private networks",
        (
            cluster(
                masterAuthorizedNetworksConfig=networks("203.0.113.0/24", "10.0.0.0/8", "fd00::/8", "2001:db8::/32")
            ),
        ),
    ),
    Case("control-plane-access", "nobody", (cluster(masterAuthorizedNetworksConfig={"cidrBlocks": []}),)),
    Case(
        "control-plane-access",
        "no address",
        (
            cluster(
                controlPlaneEndpointsConfig={"ipEndpointsConfig": {"enabled": False}},
                masterAuthorizedNetworksConfig=networks("0.0.0.0/0"),
            ),
            cluster(privateClusterConfig={"enablePrivateEndpoint": True}),
        ),
    ),
    Case(
        "control-plane-access",
        "unknown",
        (
            cluster(masterAuthorizedNetworksConfig=UNKNOWN),
            cluster(masterAuthorizedNetworksConfig={"cidrBlocks": UNKNOWN}),
            cluster(masterAuthorizedNetworksConfig=networks(UNKNOWN)),
            cluster(controlPlaneEndpointsConfig=UNKNOWN),
            cluster(privateClusterConfig=UNKNOWN),
        ),
    ),
    # private-nodes
    Case(
        "private-nodes",
        "public cluster",
        (cluster(privateClusterConfig=None),),
        (("cluster", "its nodes have public addresses: privateClusterConfig.enablePrivateNodes is not true"),),
    ),
    Case(
        "private-nodes",
        "public pool",
        (pool(networkConfig={"enablePrivateNodes": False}),),
        (("l4", "its nodes have public addresses: networkConfig.enablePrivateNodes is false"),),
    ),
    Case("private-nodes", "private", (cluster(), pool(), pool(networkConfig={"enablePrivateNodes": True}, name="b"))),
    Case("private-nodes", "unknown", (cluster(privateClusterConfig=UNKNOWN),)),
    # node-identity
    Case(
        "node-identity",
        "nothing said",
        (pool({"serviceAccount": None, "oauthScopes": None}),),
        (
            ("l4", "its nodes have access scopes other than cloud-platform: nodeConfig.oauthScopes"),
            ("l4", "its nodes run as the project's default service account: nodeConfig.serviceAccount"),
        ),
    ),
    Case(
        "node-identity",
        "the default account and legacy scopes",
        (
            pool(
                {
                    "serviceAccount": "123-compute@developer.gserviceaccount.com",
                    "oauthScopes": [SCOPE, "https://www.googleapis.com/auth/devstorage.read_only"],
                }
            ),
        ),
        (
            ("l4", "its nodes have access scopes other than cloud-platform: nodeConfig.oauthScopes"),
            ("l4", "its nodes run as the project's default service account: nodeConfig.serviceAccount"),
        ),
    ),
    Case(
        "node-identity",
        "Autopilot without",
        (resource(CLUSTER, "cluster", {**AUTOPILOT, "clusterAutoscaling": None}),),
        (
            (
                "cluster",
                "its nodes have access scopes other than cloud-platform: "
                "clusterAutoscaling.autoProvisioningDefaults.oauthScopes",
            ),
            (
                "cluster",
                "its nodes run as the project's default service account: "
                "clusterAutoscaling.autoProvisioningDefaults.serviceAccount",
            ),
        ),
    ),
    Case("node-identity", "own", (cluster(), pool(), resource(CLUSTER, "auto", AUTOPILOT))),
    Case(
        "node-identity",
        "unknown",
        (
            pool({"serviceAccount": UNKNOWN, "oauthScopes": UNKNOWN}),
            resource(CLUSTER, "cluster", {**AUTOPILOT, "enableAutopilot": UNKNOWN, "clusterAutoscaling": None}),
        ),
    ),
    # basic-roles
    Case("basic-roles", "editor", (iam("roles/editor"),), (("grant", "grants the basic role roles/editor"),)),
    Case("basic-roles", "narrow", (iam("roles/artifactregistry.reader"),)),
    Case("basic-roles", "unknown", (iam(UNKNOWN),)),
    # gpu-pool-maximum
    Case(
        "gpu-pool-maximum",
        "no bound",
        (pool(autoscaling={"totalMinNodeCount": 0}),),
        (("l4", "is not bounded: autoscaling has no maximum number of nodes"),),
    ),
    Case(
        "gpu-pool-maximum",
        "too many",
        (pool(autoscaling={"totalMaxNodeCount": 17}),),
        (("l4", "may grow to 17 nodes, more than the 16 that are allowed"),),
    ),
    Case(
        "gpu-pool-maximum",
        "too many in all zones",
        (pool(autoscaling={"maxNodeCount": 6}),),
        (("l4", "may grow to 18 nodes, more than the 16 that are allowed"),),
    ),
    Case(
        "gpu-pool-maximum",
        "auto-provisioning without bound",
        (cluster(clusterAutoscaling={"enabled": True, "resourceLimits": [{"resourceType": "nvidia-l4"}]}),),
        (
            (
                "cluster",
                "makes nodes with nvidia-l4 without bound: clusterAutoscaling.resourceLimits has no maximum",
            ),
        ),
    ),
    Case("gpu-pool-maximum", "in all zones", (pool(autoscaling={"maxNodeCount": 16}, location="us-central1-a"),)),
    Case("gpu-pool-maximum", "a fixed number", (pool(autoscaling=None, nodeCount=2, nodeLocations=["us-central1-a"]),)),
    Case("gpu-pool-maximum", "no GPUs", (pool({"guestAccelerators": []}, autoscaling={"minNodeCount": 1}),)),
    Case("gpu-pool-maximum", "unknown", (pool(autoscaling=UNKNOWN), pool(autoscaling={"maxNodeCount": UNKNOWN}))),
    # gpu-budget
    Case(
        "gpu-budget",
        "pools at their largest",
        (
            pool({"machineType": "g2-standard-24"}, autoscaling={"totalMaxNodeCount": 6}),
            pool({"spot": True}, name="spot", autoscaling={"totalMaxNodeCount": 4}),
            pool(name="b", autoscaling=None, nodeCount=UNKNOWN),
            pool({"machineType": "g2-standard-4"}, name="c", autoscaling={"maxNodeCount": 1, "totalMaxNodeCount": 0}),
        ),
        # 730 × (6 × 2.0008 + 4 × 0.5120 + 3 × 0.7068)
        (
            (
                "",
                "GPU machines may cost 11,806 USD a month at the list prices of us-central1, more than the ceiling of "
                "10,000 USD (c: 3 × g2-standard-4, l4: 6 × g2-standard-24, spot: 4 × g2-standard-8 (Spot))",
            ),
        ),
    ),
    Case(
        "gpu-budget",
        "servers without pools",
        (server(replicas=20),),
        (("", f"{_BUDGET} (server: 20 × nvidia-l4)"),),
    ),
    Case(
        "gpu-budget",
        "an autoscaler's most",
        (
            server(),
            custom(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                "scaler",
                {"scaleTargetRef": {"kind": "Deployment", "name": "server"}, "maxReplicas": 20},
            ),
        ),
        (("", f"{_BUDGET} (server: 20 × nvidia-l4)"),),
    ),
    Case(
        "gpu-budget",
        "KEDA's most",
        (
            server(),
            custom(
                "keda.sh/v1alpha1",
                "ScaledObject",
                "scaler",
                {"scaleTargetRef": {"name": "server"}, "maxReplicaCount": 20},
            ),
        ),
        (("", f"{_BUDGET} (server: 20 × nvidia-l4)"),),
    ),
    Case(
        "gpu-budget",
        "the dearest tier of a compute class",
        (server(replicas=20, nodeSelector=IN_CLASS), COMPUTE_CLASS),
        # 730 × 20 × 3.6734
        (
            (
                "",
                "GPU machines may cost 53,632 USD a month at the list prices of us-central1, more than the ceiling of "
                "10,000 USD (server: 20 × GPU of a2-highgpu-1g)",
            ),
        ),
    ),
    Case(
        "gpu-budget",
        "no price",
        (pool({"machineType": "a4-highgpu-8g"}),),
        (("", "no price is known of l4: 3 × a4-highgpu-8g: the ceiling of 10,000 USD cannot be checked"),),
    ),
    Case("gpu-budget", "within", (pool(), server(replicas=20))),
    Case("gpu-budget", "unknown", (pool({"machineType": UNKNOWN}, autoscaling={"totalMaxNodeCount": 999}),)),
    # allowed-gpus
    Case(
        "allowed-gpus",
        "another",
        (
            pool({"guestAccelerators": [{"type": "nvidia-h100-80gb", "count": 8}]}),
            server(nodeSelector={"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}),
        ),
        (
            ("l4", "nvidia-h100-80gb is not an allowed GPU; allowed: nvidia-l4"),
            ("server", "nvidia-tesla-t4 is not an allowed GPU; allowed: nvidia-l4"),
        ),
    ),
    Case(
        "allowed-gpus",
        "a tier of a compute class",
        (server(nodeSelector=IN_CLASS), COMPUTE_CLASS),
        (("class", "nvidia-tesla-a100 is not an allowed GPU; allowed: nvidia-l4"),),
    ),
    Case("allowed-gpus", "allowed", (pool(), server())),
    Case("allowed-gpus", "unknown", (pool({"guestAccelerators": UNKNOWN}), server(nodeSelector=UNKNOWN))),
    # allowed-regions
    Case(
        "allowed-regions",
        "another",
        (
            cluster(location="me-west1"),
            pool(nodeLocations=["us-central1-a", "us-west4-b"]),
            resource("gcp:storage/bucket:Bucket", "models", {"location": "US", "labels": {"environment": "prod"}}),
        ),
        (
            ("cluster", "location: me-west1 is not an allowed region; allowed: us-central1, europe-west4"),
            ("l4", "nodeLocations[1]: us-west4 is not an allowed region; allowed: us-central1, europe-west4"),
            ("models", "location: us is not an allowed region; allowed: us-central1, europe-west4"),
        ),
    ),
    Case("allowed-regions", "zones of allowed ones", (cluster(location="europe-west4-b"), pool())),
    Case("allowed-regions", "unknown", (cluster(location=UNKNOWN), pool(nodeLocations=[UNKNOWN]))),
    # required-labels
    Case(
        "required-labels",
        "missing",
        (
            cluster(resourceLabels=None),
            pool({"resourceLabels": {"environment": ""}}),
            resource(DEPLOYMENT, "server", {"metadata": {"labels": LABELS}, "spec": {"template": {"spec": {}}}}),
        ),
        (
            ("cluster", "lacks the label environment in resourceLabels"),
            ("l4", "lacks the label environment in nodeConfig.resourceLabels"),
            ("server", "its pods lack the label app.kubernetes.io/name"),
            ("server", "its pods lack the label app.kubernetes.io/part-of"),
        ),
    ),
    Case("required-labels", "there", (cluster(), pool(), server())),
    Case("required-labels", "unknown", (cluster(resourceLabels=UNKNOWN), pool({"resourceLabels": UNKNOWN}))),
    # known-vulnerabilities
    Case(
        "known-vulnerabilities",
        "an old version",
        (with_container(image="vllm/vllm-openai:v0.19.1", args=["google/gemma-7b-it", "--port=8000"]),),
        (("server", "container inference-server: vLLM 0.19.1 has CVE-2026-48746, CVE-2026-55574"),),
    ),
    Case(
        "known-vulnerabilities",
        "a model for images",
        (with_container(image="ghcr.io/huggingface/text-generation-inference:3.3.6", args=["--model-id=some/model"]),),
        (("server", "container inference-server: Text Generation Inference 3.3.6 has CVE-2026-0599"),),
    ),
    Case(
        "known-vulnerabilities",
        "a model for text",
        (
            with_container(
                image="ghcr.io/huggingface/text-generation-inference:3.3.6", args=["--model-id=google/gemma-7b-it"]
            ),
        ),
    ),
    Case(
        "known-vulnerabilities",
        "an image of another name",
        (
            resource(
                DEPLOYMENT,
                "server",
                {
                    "metadata": {"name": "server", "labels": LABELS},
                    "spec": {
                        "template": {
                            "metadata": {"labels": {**LABELS, "app.kubernetes.io/version": "0.23.0"}},
                            "spec": pod({**CONTAINER, "image": f"example.com/mine:1@{DIGEST}"})["spec"],
                        }
                    },
                },
            ),
        ),
        (("server", "container inference-server: vLLM 0.23.0 has CVE-2026-55574"),),
    ),
    Case("known-vulnerabilities", "a recent version", (server(),)),
    Case("known-vulnerabilities", "another image", (with_container(image="nginx:1.0"),)),
    Case("known-vulnerabilities", "unknown", (with_container(image=UNKNOWN), with_container(args=UNKNOWN))),
)
