"""A Kubernetes Secret that GKE's add-on copies from Google Secret Manager, through Workload Identity."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

import json
from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

from .served_apis import ServedApis

_PROVIDER_CLASS = ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass")
_SYNC = ("secret-sync.gke.io/v1", "SecretSync")


@dataclass(frozen=True, kw_only=True)
class SecretSyncArgs:
    """What the copy of a secret needs.

    Attributes:
        secret: id of the secret, or projects/PROJECT/secrets/ID for one of another project.
        version: version of the secret.
        project: Google Cloud project of the cluster.
        project_number: number of that project.
        namespace: Kubernetes namespace of the Secret.
        secret_name: name of the Secret.
        secret_key: what the value stands under in it.
        mounted_name: what the add-on calls the value on its way.
        reader_name: Kubernetes service account that reads Secret Manager.
        labels: labels of the objects.
        after: what must exist before, such as the namespace.
        replace_with: what the objects go and come with.
        served_apis: what custom resources wait by; they are made at once if None.

    """

    secret: str
    version: str
    project: str | None
    project_number: str
    namespace: str
    secret_name: str
    secret_key: str
    mounted_name: str
    reader_name: str
    labels: dict[str, str]
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] | None = None
    served_apis: ServedApis | None = None


@dataclass(frozen=True, kw_only=True)
class SecretSync:
    """The objects of a copy."""

    reader: kubernetes.core.v1.ServiceAccount
    access: gcp.secretmanager.SecretIamMember
    provider_class: kubernetes.apiextensions.CustomResource
    sync: kubernetes.apiextensions.CustomResource


def synchronized_secret(prefix: str, parent: pulumi.Resource, args: SecretSyncArgs) -> SecretSync:
    """Registers a reader, its access, and what has the add-on copy a secret.

    Args:
        prefix: what the objects' names begin with.
        parent: the component that they belong to.
        args: what is copied where.

    """

    def metadata(name: pulumi.Input[str]) -> kubernetes.meta.v1.ObjectMetaArgs:
        return kubernetes.meta.v1.ObjectMetaArgs(name=name, namespace=args.namespace, labels=args.labels)

    def once_served(api: tuple[str, str]) -> pulumi.Input[str]:
        return args.served_apis.once_served(*api, args.secret_name) if args.served_apis else args.secret_name

    options = pulumi.ResourceOptions(parent=parent, depends_on=args.after, replace_with=args.replace_with)
    project, secret = _secret_manager_id(args)
    reader = kubernetes.core.v1.ServiceAccount(
        f"{prefix}-reader",
        metadata=metadata(args.reader_name),
        automount_service_account_token=False,
        opts=options,
    )
    access = gcp.secretmanager.SecretIamMember(
        f"{prefix}-access",
        project=project,
        secret_id=secret,
        role="roles/secretmanager.secretAccessor",
        member=(
            f"principal://iam.googleapis.com/projects/{args.project_number}/locations/global/"
            f"workloadIdentityPools/{args.project}.svc.id.goog/subject/"
            f"ns/{args.namespace}/sa/{args.reader_name}"
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    provider_class = kubernetes.apiextensions.CustomResource(
        f"{prefix}-provider-class",
        api_version=_PROVIDER_CLASS[0],
        kind=_PROVIDER_CLASS[1],
        metadata=metadata(once_served(_PROVIDER_CLASS)),
        spec={
            "provider": "gke",
            # The add-on takes a list as text; JSON is YAML too.
            "parameters": {
                "secrets": json.dumps(
                    [
                        {
                            "path": args.mounted_name,
                            "resourceName": f"projects/{project}/secrets/{secret}/versions/{args.version}",
                        }
                    ]
                )
            },
        },
        opts=options,
    )
    sync = kubernetes.apiextensions.CustomResource(
        f"{prefix}-sync",
        api_version=_SYNC[0],
        kind=_SYNC[1],
        # The Secret that it makes has its name.
        metadata=metadata(once_served(_SYNC)),
        spec={
            "serviceAccountName": args.reader_name,
            "secretProviderClassName": args.secret_name,
            "secretObject": {
                "type": "Opaque",
                "data": [{"sourcePath": args.mounted_name, "targetKey": args.secret_key}],
            },
        },
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=[reader, access, provider_class], replace_with=args.replace_with
        ),
    )
    return SecretSync(reader=reader, access=access, provider_class=provider_class, sync=sync)


def _secret_manager_id(args: SecretSyncArgs) -> tuple[str | None, str]:
    """Project and short id of the secret."""
    if args.secret.startswith("projects/"):
        _, project, _, secret = args.secret.split("/")
        return project, secret
    return args.project, args.secret
