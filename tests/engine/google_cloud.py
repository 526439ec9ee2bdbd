"""A stand-in for the Google Cloud provider: keeps its resources in memory, and replaces what the real one replaces.

All of its clusters have one and the same API server, unless one was given to a cluster by its id.

The rules are those of the real provider's schema (ForceNew), for the types that the components register. As with the
real one, a cluster's `masterAuth` has a secret in it, a network that is in use cannot be deleted, and differences stay
where Google's API answers something else than what was sent.
"""

import hashlib
import threading
from importlib.metadata import version
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2

from gke_llm_inference.pulumi_protocol.wire import SECRET_SIGNATURE, SIGNATURE_KEY
from tests.engine.changes import Change, adopted, changes
from tests.engine.provider_server import ProviderBase, fail
from tests.engine.wire import decode, encode

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"
ACCOUNT = "gcp:serviceaccount/account:Account"
ALERTS = "gcp:monitoring/alertPolicy:AlertPolicy"
DASHBOARD = "gcp:monitoring/dashboard:Dashboard"
DNS_AUTHORIZATION = "gcp:certificatemanager/dnsAuthorization:DnsAuthorization"

_NODE_CONFIG = (
    *("bootDiskKmsKey", "enableConfidentialStorage", "ephemeralStorageLocalSsdConfig", "flexStart"),
    *("guestAccelerators", "hostMaintenancePolicy", "localNvmeSsdBlockConfig", "localSsdCount"),
    *("localSsdEncryptionMode", "maxRunDuration", "metadata", "minCpuPlatform", "nodeGroup", "oauthScopes"),
    *("preemptible", "reservationAffinity", "sandboxConfig", "secondaryBootDisks", "serviceAccount"),
    *("shieldedInstanceConfig", "soleTenantConfig", "spot"),
)
FORCE_NEW: dict[str, tuple[str, ...]] = {
    CLUSTER: (
        *("name", "location", "project", "description", "network", "subnetwork", "networkingMode"),
        *("ipAllocationPolicy.clusterSecondaryRangeName", "ipAllocationPolicy.servicesSecondaryRangeName"),
        *(
            "ipAllocationPolicy.clusterIpv4CidrBlock",
            "ipAllocationPolicy.servicesIpv4CidrBlock",
            "clusterIpv4Cidr",
            "enableAutopilot",
            "initialNodeCount",
            "datapathProvider",
        ),
        *("defaultMaxPodsPerNode", "enableKubernetesAlpha", "confidentialNodes", "nodeConfig", "nodePools"),
        *("privateClusterConfig.masterIpv4CidrBlock", "privateClusterConfig.privateEndpointSubnetwork"),
        "clusterAutoscaling.autoProvisioningDefaults.bootDiskKmsKey",
    ),
    NODE_POOL: (
        *("name", "namePrefix", "cluster", "location", "project", "initialNodeCount", "maxPodsPerNode"),
        *("placementPolicy", "queuedProvisioning", "networkConfig.podRange", "networkConfig.subnetwork"),
        *(f"nodeConfig.{name}" for name in _NODE_CONFIG),
    ),
    ACCOUNT: ("accountId", "project"),
    ALERTS: ("project",),
    DASHBOARD: ("project",),
    DNS_AUTHORIZATION: ("name", "project", "location", "domain", "type"),
    "gcp:certificatemanager/certificate:Certificate": ("name", "project", "location", "managed", "selfManaged"),
    "gcp:compute/network:Network": ("name", "project", "autoCreateSubnetworks"),
    "gcp:compute/address:Address": ("name", "project", "region", "addressType", "networkTier"),
    "gcp:compute/regionSecurityPolicy:RegionSecurityPolicy": ("name", "project", "region", "type"),
    "gcp:compute/subnetwork:Subnetwork": ("name", "project", "region", "network"),
    "gcp:compute/router:Router": ("name", "project", "region", "network"),
    "gcp:compute/routerNat:RouterNat": ("name", "project", "region", "router"),
    "gcp:projects/iAMMember:IAMMember": ("member", "project", "role"),
    "gcp:secretmanager/secretIamMember:SecretIamMember": ("member", "project", "role", "secretId"),
    "gcp:storage/bucket:Bucket": ("name", "project", "location"),
    "gcp:storage/bucketIAMMember:BucketIAMMember": ("bucket", "member", "role"),
}
_NUMBERED = (ALERTS, DASHBOARD)
_NAMELESS = (
    *(ACCOUNT, *_NUMBERED),
    *("gcp:projects/iAMMember:IAMMember", "gcp:secretmanager/secretIamMember:SecretIamMember"),
    "gcp:storage/bucketIAMMember:BucketIAMMember",
)


class GoogleCloud(ProviderBase):
    """The provider; what is in the cloud is in `resources`, by id."""

    def __init__(self, address: str, authority: str) -> None:
        super().__init__(version("pulumi-gcp"))
        self._api_server = (address, authority)
        self.api_servers: dict[str, tuple[str, str]] = {}
        """Address and authority of the API server of some clusters, by id."""
        self.resources: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        """Every creation, update and deletion: what, and the resource's name in the program."""
        self._lock = threading.Lock()

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: N802
        same = decode(request.old_inputs) == decode(request.news)
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=none if same else some)

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: N802
        news, olds = decode(request.news), decode(request.olds)
        if "name" not in news and request.type not in _NAMELESS:
            digest = hashlib.sha256(request.randomSeed).hexdigest()[:7]
            news["name"] = olds.get("name") or f"{request.name}-{digest}"
        return provider_pb2.CheckResponse(inputs=encode(news))

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: N802
        ignored = tuple(request.ignoreChanges)
        found = {
            path: change
            for path, change in changes(decode(request.old_inputs), decode(request.news))
            if not any(_within(path, one) for one in ignored)
        }
        type_ = _type_of(request.urn)
        found |= _answered_differently(type_, decode(request.olds), decode(request.news))
        rules = FORCE_NEW.get(type_, ())
        replacing = [path for path in found if any(_within(path, rule) or _within(rule, path) for rule in rules)]
        response = provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=replacing,
            # Another of the same name cannot stand beside it; every other name is made up.
            deleteBeforeReplace=bool(replacing) and type_ == CLUSTER,
            diffs=sorted({path.split(".")[0].split("[")[0] for path in found}),
            hasDetailedDiff=True,
        )
        kinds = {
            Change.ADD: provider_pb2.PropertyDiff.ADD,
            Change.DELETE: provider_pb2.PropertyDiff.DELETE,
            Change.UPDATE: provider_pb2.PropertyDiff.UPDATE,
        }
        for path, change in found.items():
            # Each kind is followed by the one that replaces.
            response.detailedDiff[path].kind = kinds[change] + (path in replacing)  # type: ignore[assignment]
        return response

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:  # noqa: N802
        inputs = decode(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        type_ = _type_of(request.urn)
        id_ = _id_of(type_, inputs)
        with self._lock:
            if id_ in self.resources:
                fail(context, f"Error 409: Already exists: {id_}")
            self.resources[id_] = self._state_of(type_, inputs)
            self.calls.append(("create", _name_of(request.urn)))
        return provider_pb2.CreateResponse(id=id_, properties=encode(self.resources[id_]))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:  # noqa: N802
        with self._lock:
            found = self.resources.get(request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        current = adopted(decode(request.inputs), found)
        return provider_pb2.ReadResponse(id=request.id, properties=encode(found), inputs=encode(current))

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:  # noqa: N802
        if request.preview:
            # What the cloud computed stays as it was, unless the update says otherwise.
            return provider_pb2.UpdateResponse(properties=encode({**decode(request.olds), **decode(request.news)}))
        with self._lock:
            self.resources[request.id] = self._state_of(_type_of(request.urn), decode(request.news))
            self.calls.append(("update", _name_of(request.urn)))
        return provider_pb2.UpdateResponse(properties=encode(self.resources[request.id]))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> Empty:  # noqa: N802
        with self._lock:
            found = self.resources.get(request.id, {})
            if _type_of(request.urn) == CLUSTER and decode(request.properties).get("deletionProtection", True):
                fail(context, "Cannot destroy cluster because deletion_protection is set to true.")
            users = [
                id_ for id_, one in self.resources.items() if request.id in (one.get("network"), one.get("subnetwork"))
            ]
            if users:
                fail(
                    context,
                    f"Error 400: {request.id} is already being used by {users[0]}, resourceInUseByAnotherResource",
                )
            self.resources.pop(request.id, None)
            if found:
                self.calls.append(("delete", _name_of(request.urn)))
        return Empty()

    def _state_of(self, type_: str, inputs: dict[str, Any]) -> dict[str, Any]:
        project = inputs.get("project", "my-project")
        state = {**inputs, "project": project}
        if type_ == CLUSTER:
            address, authority = self.api_servers.get(_id_of(type_, inputs), self._api_server)
            endpoints = dict(inputs.get("controlPlaneEndpointsConfig") or {})
            endpoints["dnsEndpointConfig"] = {**(endpoints.get("dnsEndpointConfig") or {}), "endpoint": address}
            state |= {
                "endpoint": address,
                "masterVersion": "1.36.3-gke.1000",
                "masterAuth": {"clusterCaCertificate": authority, "clientKey": _secret("a private key")},
                "controlPlaneEndpointsConfig": endpoints,
            }
            if not (endpoints.get("ipEndpointsConfig") or {}).get("enabled", True):
                state["privateClusterConfig"] = {
                    "enablePrivateEndpoint": True,
                    **(inputs.get("privateClusterConfig") or {}),
                }
        elif type_ == NODE_POOL:
            state["nodeConfig"] = dict(inputs.get("nodeConfig") or {})
            if "secondaryBootDisks" in state["nodeConfig"]:
                # The provider sends the first alone.
                state["nodeConfig"]["secondaryBootDisks"] = state["nodeConfig"]["secondaryBootDisks"][:1]
        elif type_ == ACCOUNT:
            email = f"{inputs['accountId']}@{project}.iam.gserviceaccount.com"
            state |= {"email": email, "member": f"serviceAccount:{email}"}
        elif type_ not in _NUMBERED:
            if type_ == "gcp:compute/address:Address":
                state["address"] = "203.0.113.7"
            elif type_ == DNS_AUTHORIZATION:
                domain = inputs["domain"]
                record = {"name": f"_acme-challenge.{domain}.", "type": "CNAME", "data": "1.authorize.example."}
                state["dnsResourceRecords"] = [record]
            state["selfLink"] = f"https://www.googleapis.com/compute/v1/{_id_of(type_, inputs)}"
        return state


def _answered_differently(type_: str, state: dict[str, Any], news: dict[str, Any]) -> dict[str, Change]:
    """Differences between what the cloud answered and what the program says, which no update ends."""
    if type_ == CLUSTER:
        answered, said = (one.get("privateClusterConfig") or {} for one in (state, news))
        if answered.get("enablePrivateEndpoint") and "enablePrivateEndpoint" not in said:
            return {"privateClusterConfig.enablePrivateEndpoint": Change.DELETE}
    elif type_ == NODE_POOL:
        answered, said = (one.get("nodeConfig") or {} for one in (state, news))
        if len(answered.get("secondaryBootDisks") or ()) < len(said.get("secondaryBootDisks") or ()):
            return {"nodeConfig.secondaryBootDisks": Change.UPDATE}
    return {}


def _secret(value: str) -> dict[str, str]:
    return {SIGNATURE_KEY: SECRET_SIGNATURE, "value": value}


def _within(path: str, other: str) -> bool:
    return path == other or path.startswith((f"{other}.", f"{other}["))


def _type_of(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def _name_of(urn: str) -> str:
    return urn.rpartition("::")[2]


def _id_of(type_: str, inputs: dict[str, Any]) -> str:
    project = inputs.get("project", "my-project")
    if type_ == CLUSTER:
        return f"projects/{project}/locations/{inputs['location']}/clusters/{inputs['name']}"
    if type_ == NODE_POOL:
        return f"{project}/{inputs['location']}/{inputs['cluster']}/{inputs['name']}"
    if type_ == ACCOUNT:
        return f"projects/{project}/serviceAccounts/{inputs['accountId']}@{project}.iam.gserviceaccount.com"
    if type_ in _NUMBERED:
        number = hashlib.sha256(repr(sorted(inputs.items())).encode()).hexdigest()[:16]
        return f"projects/{project}/{type_.rpartition(':')[2]}/{number}"
    if "member" in inputs:
        return f"{inputs.get('secretId', project)}/{inputs['role']}/{inputs['member']}"
    return f"projects/{project}/{type_.split('/')[-1]}/{inputs.get('region', 'global')}/{inputs['name']}"
