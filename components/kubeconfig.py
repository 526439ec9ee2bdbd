"""Kubeconfigs for GKE clusters. They hold no credential: gcloud's plugin fetches one for whoever uses them."""

import json
from typing import Any

import pulumi
import pulumi_gcp as gcp


def kubeconfig_of(cluster: gcp.container.Cluster) -> pulumi.Output[str]:
    """The kubeconfig of a cluster: by its DNS name where that is open, else by its address and own certificate."""
    parts: pulumi.Output[Any] = pulumi.Output.all(
        name=cluster.name,
        endpoints=cluster.control_plane_endpoints_config,
        endpoint=cluster.endpoint,
        auth=cluster.master_auth,
    )
    return parts.apply(_render)


def _render(parts: dict[str, Any]) -> str:
    endpoints, auth = parts["endpoints"], parts["auth"]
    dns = endpoints.dns_endpoint_config if endpoints else None
    if dns is not None and dns.allow_external_traffic and dns.endpoint:
        # A public authority signs the DNS name's certificate; the cluster's own authority does not.
        cluster: dict[str, str] = {"server": f"https://{dns.endpoint}"}
    else:
        cluster = {
            "server": f"https://{parts['endpoint']}",
            "certificate-authority-data": auth.cluster_ca_certificate,
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
