"""Load balancers before the servers: Gateways, what they let through, how they see pods' health, and what they need."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

from gke_llm_inference.planning.access.plan import (
    AccessPlan,
    CertificatePlan,
    GatewayPlan,
    PickerPlan,
    RateLimitPlan,
    ServerAccess,
)

from .endpoint_picker import INFERENCE_POOL, EndpointPicker, EndpointPickerArgs
from .served_apis import ServedApis

_GATEWAY_API = "gateway.networking.k8s.io/v1"
_POLICY_API = "networking.gke.io/v1"
_LABELS = {"app.kubernetes.io/managed-by": "pulumi", "app.kubernetes.io/part-of": "gke-llm-inference"}
_LAST_PRIORITY = 2147483647


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """What load balancers need.

    Attributes:
        plan: how servers are reached, decided and checked.
        namespace: Kubernetes namespace of the servers.
        network: VPC of the cluster, for the proxy-only subnet; None where that exists already.
        services: the servers' Services by the servers' names in the configuration.
        after: what must exist before, such as the namespace.
        replace_with: what the objects go and come with: the cluster, where the same program makes it.
        served_apis: what custom resources wait by; they are made at once if None.

    """

    plan: AccessPlan
    namespace: str
    network: pulumi.Input[str] | None = None
    services: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate that the stack makes, and what a DNS record of yours allows Google to issue it by."""

    authorization: gcp.certificatemanager.DnsAuthorization
    certificate: gcp.certificatemanager.Certificate

    @property
    def record(self) -> pulumi.Output[str]:
        """That record as a line of a zone: name, type and data."""
        return self.authorization.dns_resource_records.apply(
            lambda found: f"{found[0].name} {found[0].type} {found[0].data}"
        )


class Gateway(pulumi.ComponentResource):
    """The load balancers of a stack; pass the cluster's Kubernetes provider in the options."""

    TYPE = "gke-llm-inference:index:Gateway"

    addresses: Mapping[str, pulumi.Output[str]]
    """Addresses that the stack reserved, by exposure; DNS records of the hostnames lead there."""
    gateways: Mapping[str, kubernetes.apiextensions.CustomResource]
    """The Gateways by exposure."""
    certificates: Mapping[str, Certificate]
    """The certificates that the stack makes, by hostname."""
    routes: Mapping[str, kubernetes.apiextensions.CustomResource]
    """The HTTPRoutes by the servers' names in the configuration."""
    pickers: Mapping[str, EndpointPicker]
    """The endpoint pickers by the servers' names in the configuration; only of those that have one."""
    proxy_subnet: gcp.compute.Subnetwork | None
    """Where the load balancers' proxies have their addresses; None where it exists already."""
    security_policy: gcp.compute.RegionSecurityPolicy | None
    """The limit of rate on the internet; None without one."""

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self._prefix = name
        self._args = args
        plan = args.plan
        self.proxy_subnet = self._proxy_subnet() if plan.makes_proxy_subnet else None
        self.certificates = {one.hostname: self._certificate(one) for one in plan.certificates}
        self.security_policy = self._security_policy(plan.rate_limit) if plan.rate_limit else None
        self.addresses = {}
        self.gateways = {}
        for gateway in plan.gateways:
            self._gateway(gateway)
        self.pickers = {}
        self.routes = {server.server: self._server(server) for server in plan.servers}
        shown = {"addresses": self.addresses, "certificateRecords": self.certificate_records}
        self.register_outputs({name: value for name, value in shown.items() if value})

    @property
    def certificate_records(self) -> dict[str, pulumi.Output[str]]:
        """The DNS record by hostname that lets Google issue the certificate of it: name, type and data."""
        return {hostname: one.record for hostname, one in self.certificates.items()}

    def _certificate(self, plan: CertificatePlan) -> Certificate:
        access, name = self._args.plan, f"{self._prefix}-{plan.hostname}"
        # A load balancer of a region takes no certificate that was authorized by the load balancer itself.
        authorization = gcp.certificatemanager.DnsAuthorization(
            f"{name}-authorization",
            name=plan.name,
            project=access.project,
            location=access.region,
            domain=plan.hostname,
            type="PER_PROJECT_RECORD",
            opts=pulumi.ResourceOptions(parent=self),
        )
        certificate = gcp.certificatemanager.Certificate(
            f"{name}-certificate",
            name=plan.name,
            project=access.project,
            location=access.region,
            managed=gcp.certificatemanager.CertificateManagedArgs(
                domains=[plan.hostname], dns_authorizations=[authorization.id]
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return Certificate(authorization=authorization, certificate=certificate)

    def _proxy_subnet(self) -> gcp.compute.Subnetwork:
        plan = self._args.plan
        return gcp.compute.Subnetwork(
            f"{self._prefix}-proxies",
            project=plan.project,
            region=plan.region,
            network=self._args.network,
            ip_cidr_range=plan.proxy_cidr,
            purpose="REGIONAL_MANAGED_PROXY",
            role="ACTIVE",
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _security_policy(self, limit: RateLimitPlan) -> gcp.compute.RegionSecurityPolicy:
        compute = gcp.compute
        everybody = compute.RegionSecurityPolicyRuleMatchArgs(
            versioned_expr="SRC_IPS_V1",
            config=compute.RegionSecurityPolicyRuleMatchConfigArgs(src_ip_ranges=["*"]),
        )
        return compute.RegionSecurityPolicy(
            f"{self._prefix}-rate-limit",
            name=limit.name,
            project=self._args.plan.project,
            region=self._args.plan.region,
            type="CLOUD_ARMOR",
            rules=[
                compute.RegionSecurityPolicyRuleArgs(
                    action="throttle",
                    priority=1000,
                    match=everybody,
                    rate_limit_options=compute.RegionSecurityPolicyRuleRateLimitOptionsArgs(
                        conform_action="allow",
                        exceed_action="deny(429)",
                        enforce_on_key="IP",
                        rate_limit_threshold=compute.RegionSecurityPolicyRuleRateLimitOptionsRateLimitThresholdArgs(
                            count=limit.requests, interval_sec=limit.interval_seconds
                        ),
                    ),
                ),
                # Google wants a rule for whoever no other rule is about.
                compute.RegionSecurityPolicyRuleArgs(action="allow", priority=_LAST_PRIORITY, match=everybody),
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _gateway(self, plan: GatewayPlan) -> None:
        needs: list[pulumi.Resource] = [self.proxy_subnet] if self.proxy_subnet else []
        needs += [one.certificate for hostname, one in self.certificates.items() if hostname in plan.hostnames]
        if plan.reserves_address:
            address = gcp.compute.Address(
                f"{self._prefix}-{plan.exposure}-address",
                name=plan.address,
                project=self._args.plan.project,
                region=self._args.plan.region,
                address_type="EXTERNAL",
                # The tier of GKE's regional external load balancers.
                network_tier="STANDARD",
                opts=pulumi.ResourceOptions(parent=self),
            )
            needs.append(address)
            self.addresses = {**self.addresses, plan.exposure: address.address}
        made = self._custom_resource(
            f"{self._prefix}-{plan.exposure}", _GATEWAY_API, "Gateway", plan.name, _gateway_spec(plan), needs
        )
        self.gateways = {**self.gateways, plan.exposure: made}

    def _server(self, server: ServerAccess) -> kubernetes.apiextensions.CustomResource:
        plan = self._args.plan
        prefix = f"{self._prefix}-{server.name}"
        gateway = next(one for one in plan.gateways if one.exposure == server.exposure)
        service = self._args.services.get(server.server)
        needs: list[pulumi.Resource] = [service] if service is not None else []
        name = server.name
        if server.picker:
            picker = self._picker(server.server, server.picker, prefix, server.pod_port, needs)
            needs += picker.resources
            # Those of the Service go when the route no longer leads there, so that they have other names.
            prefix, name = f"{prefix}-pool", server.picker.pool
        limited = [self.security_policy] if self.security_policy and server.exposure == "external" else []
        self._custom_resource(f"{prefix}-health", _POLICY_API, "HealthCheckPolicy", name, _health_spec(server), needs)
        self._custom_resource(
            f"{prefix}-backend",
            _POLICY_API,
            "GCPBackendPolicy",
            name,
            _backend_spec(server, plan.rate_limit),
            [*needs, *limited],
        )
        return self._custom_resource(
            f"{self._prefix}-{server.name}-route",
            _GATEWAY_API,
            "HTTPRoute",
            server.name,
            _route_spec(server, gateway),
            [*needs, self.gateways[server.exposure]],
        )

    def _picker(
        self, key: str, plan: PickerPlan, prefix: str, pod_port: int, needs: list[pulumi.Resource]
    ) -> EndpointPicker:
        args = self._args
        made = EndpointPicker(
            f"{prefix}-picker",
            EndpointPickerArgs(
                plan=plan,
                namespace=args.namespace,
                pod_port=pod_port,
                after=[*args.after, *needs],
                replace_with=args.replace_with,
                served_apis=args.served_apis,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.pickers = {**self.pickers, key: made}
        return made

    def _custom_resource(
        self, name: str, api_version: str, kind: str, object_name: str, spec: dict[str, Any], needs: list[Any]
    ) -> kubernetes.apiextensions.CustomResource:
        args = self._args
        return kubernetes.apiextensions.CustomResource(
            name,
            api_version=api_version,
            kind=kind,
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=args.served_apis.once_served(api_version, kind, object_name) if args.served_apis else object_name,
                namespace=args.namespace,
                labels=_LABELS,
            ),
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*args.after, *needs], replace_with=args.replace_with or None
            ),
        )


def _gateway_spec(plan: GatewayPlan) -> dict[str, Any]:
    tls: dict[str, Any] | None = None
    if plan.certificates:
        # Regional load balancers take certificates by name; maps of certificates are for global ones.
        tls = {"mode": "Terminate", "options": {"networking.gke.io/cert-manager-certs": ",".join(plan.certificates)}}
    elif plan.certificate_secret:
        tls = {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": plan.certificate_secret}]}
    listener = {
        "name": "https" if tls else "http",
        "protocol": "HTTPS" if tls else "HTTP",
        "port": plan.port,
        "allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}], "namespaces": {"from": "Same"}},
        **({"tls": tls} if tls else {}),
    }
    return {
        "gatewayClassName": plan.class_name,
        "listeners": [listener],
        **({"addresses": [{"type": "NamedAddress", "value": plan.address}]} if plan.address else {}),
    }


def _route_spec(server: ServerAccess, gateway: GatewayPlan) -> dict[str, Any]:
    """What is let through. GKE rejects routes with timeouts; those are in the backend's policy."""
    return {
        "parentRefs": [{"name": gateway.name}],
        "hostnames": [server.hostname],
        "rules": [
            {
                "matches": [
                    {"path": {"type": "Exact", "value": route.path}, "method": route.method} for route in server.routes
                ],
                "backendRefs": [_backend(server)],
            }
        ],
    }


def _health_spec(server: ServerAccess) -> dict[str, Any]:
    # Without it GKE asks for /, which vLLM does not have: no pod would ever be well.
    return {
        "targetRef": _target(server),
        "default": {
            "checkIntervalSec": 5,
            "timeoutSec": 5,
            "healthyThreshold": 1,
            "unhealthyThreshold": 2,
            "config": {
                "type": "HTTP",
                "httpHealthCheck": {
                    "portSpecification": "USE_FIXED_PORT",
                    "port": server.pod_port,
                    "requestPath": server.health_path,
                },
            },
        },
    }


def _backend_spec(server: ServerAccess, limit: RateLimitPlan | None) -> dict[str, Any]:
    return {
        "targetRef": _target(server),
        "default": {
            "timeoutSec": server.timeout_seconds,
            "connectionDraining": {"drainingTimeoutSec": server.draining_seconds},
            **({"securityPolicy": limit.name} if limit and server.exposure == "external" else {}),
        },
    }


def _backend(server: ServerAccess) -> dict[str, Any]:
    """Where a route leads: the pool has its own port, and a Service has to be told one."""
    if server.picker:
        return _target(server)
    return {"name": server.name, "port": server.service_port}


def _target(server: ServerAccess) -> dict[str, str]:
    if server.picker:
        group, kind = INFERENCE_POOL[0].partition("/")[0], INFERENCE_POOL[1]
        return {"group": group, "kind": kind, "name": server.picker.pool}
    return {"group": "", "kind": "Service", "name": server.name}
