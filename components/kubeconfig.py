"""Kubeconfigs for GKE clusters. They hold no credential: gcloud's plugin fetches one for whoever uses them."""

import json
from typing import Any

import pulumi
import pulumi_gcp as gcp


def kubeconfig_of(cluster: gcp.container.Cluster) -> pulumi.Output[str]:
    """The kubeconfig of a cluster: by its DNS name where that is open, else by its address and own certificate."""
    # Each output is reduced to what is needed of it first: Output.all makes plain dictionaries of typed ones.
    return pulumi.Output.all(
        name=cluster.name,
        dns_name=cluster.control_plane_endpoints_config.apply(_open_dns_name),
        address=cluster.endpoint,
        certificate=cluster.master_auth.apply(lambda auth: auth.cluster_ca_certificate if auth else None),
    ).apply(_render)


def _open_dns_name(endpoints: gcp.container.outputs.ClusterControlPlaneEndpointsConfig | None) -> str | None:
    dns = endpoints.dns_endpoint_config if endpoints else None
    return dns.endpoint if dns and dns.allow_external_traffic else None


def _render(parts: dict[str, Any]) -> str:
    if parts["dns_name"]:
        # A public authority signs the DNS name's certificate; the cluster's own authority does not.
        cluster: dict[str, str] = {"server": f"https://{parts['dns_name']}"}
    else:
        cluster = {
            "server": f"https://{parts['address']}",
            "certificate-authority-data": parts["certificate"],
        }
    name = parts["name"]
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
            "users": [
                {
                    "name": name,
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "gke-gcloud-auth-plugin",
                            "installHint": "gcloud components install gke-gcloud-auth-plugin",
                            "provideClusterInfo": True,
                        }
                    },
                }
            ],
        },
        sort_keys=True,
    )
