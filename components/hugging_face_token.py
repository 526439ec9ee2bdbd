"""The Hugging Face token as a Kubernetes Secret, from Pulumi's encrypted config or from Google Secret Manager."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

import json
from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

from gke_llm_inference.planning import TokenPlan
from gke_llm_inference.settings import ConfigToken, SecretManagerToken

_LABELS = {"app.kubernetes.io/managed-by": "pulumi", "app.kubernetes.io/part-of": "gke-llm-inference"}
_MOUNTED_NAME = "token"


@dataclass(frozen=True, kw_only=True)
class HuggingFaceTokenArgs:
    """What the token's way into the cluster needs.

    Attributes:
        plan: where the token comes from, and the Secret's name and key.
        token: the token itself, where it comes from Pulumi's config. It is made a Pulumi secret in any case.
        after: what must exist before, such as the namespace.
        replace_with: what the objects go and come with: the cluster, where the same program makes it.

    """

    plan: TokenPlan
    token: pulumi.Input[str] | None = None
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)


class HuggingFaceToken(pulumi.ComponentResource):
    """A Kubernetes Secret with the Hugging Face token; nothing where it exists already or no model needs one."""

    TYPE = "gke-llm-inference:index:HuggingFaceToken"

    resources: list[pulumi.Resource]
    """What must exist before a pod can read the token."""
    secret: kubernetes.core.v1.Secret | None
    """The Secret; None unless the token is from Pulumi's config."""
    reader: kubernetes.core.v1.ServiceAccount | None
    """Reads the token from Secret Manager; None, like the three that follow, for every other source."""
    access: gcp.secretmanager.SecretIamMember | None
    """Lets the reader read the token."""
    provider_class: kubernetes.apiextensions.CustomResource | None
    """Names the token to GKE's add-on."""
    sync: kubernetes.apiextensions.CustomResource | None
    """Has the add-on copy the token to a Secret."""
    version: pulumi.Output[str] | None
    """Another one for every token, for pods that read it only when they start; it says nothing about the token.

    Empty in a preview of a Secret that is yet to be made; None where this stack does not make the Secret, and so does
    not learn of a change.
    """

    def __init__(self, name: str, args: HuggingFaceTokenArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = args.plan.settings
        if isinstance(settings, ConfigToken) and args.token is None:
            raise pulumi.InputPropertiesError(
                "the token's source is the config, but no token was given",
                [{"property_path": "token", "reason": "pass the config's secret"}],
            )
        super().__init__(self.TYPE, name, None, opts)
        self._prefix = name
        self._plan = args.plan
        self._after = args.after
        self._together = args.replace_with or None
        self.resources = []
        self.secret = None
        self.reader = None
        self.access = None
        self.provider_class = None
        self.sync = None
        self.version = None
        match settings:
            case ConfigToken():
                assert args.token is not None
                self.secret = secret = self._secret(settings, args.token)
                self.resources.append(secret)
                # The API server counts it up when the Secret's content changes, and only then.
                self.version = secret.metadata.apply(lambda metadata: metadata.resource_version or "")
            case SecretManagerToken():
                self.sync = self._synchronized_secret(settings)
                self.resources.append(self.sync)
            case _:
                pass
        self.register_outputs({"source": settings.token_source})

    def _secret(self, settings: ConfigToken, token: pulumi.Input[str]) -> kubernetes.core.v1.Secret:
        return kubernetes.core.v1.Secret(
            f"{self._prefix}-secret",
            metadata=self._metadata(settings.secret_name),
            type="Opaque",
            string_data={settings.secret_key: pulumi.Output.secret(token)},
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._after, replace_with=self._together),
        )

    def _synchronized_secret(self, settings: SecretManagerToken) -> kubernetes.apiextensions.CustomResource:
        project, secret = self._secret_manager_id(settings)
        self.reader = account = kubernetes.core.v1.ServiceAccount(
            f"{self._prefix}-reader",
            metadata=self._metadata(self._plan.reader_name),
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._after, replace_with=self._together),
        )
        self.access = binding = gcp.secretmanager.SecretIamMember(
            f"{self._prefix}-access",
            project=project,
            secret_id=secret,
            role="roles/secretmanager.secretAccessor",
            member=(
                f"principal://iam.googleapis.com/projects/{settings.project_number}/locations/global/"
                f"workloadIdentityPools/{self._plan.project}.svc.id.goog/subject/"
                f"ns/{self._plan.namespace}/sa/{self._plan.reader_name}"
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.provider_class = provider_class = kubernetes.apiextensions.CustomResource(
            f"{self._prefix}-provider-class",
            api_version="secrets-store.csi.x-k8s.io/v1",
            kind="SecretProviderClass",
            metadata=self._metadata(settings.secret_name),
            spec={
                "provider": "gke",
                # The add-on takes a list as text; JSON is YAML too.
                "parameters": {
                    "secrets": json.dumps(
                        [
                            {
                                "path": _MOUNTED_NAME,
                                "resourceName": f"projects/{project}/secrets/{secret}/versions/{settings.version}",
                            }
                        ]
                    )
                },
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._after, replace_with=self._together),
        )
        return kubernetes.apiextensions.CustomResource(
            f"{self._prefix}-sync",
            api_version="secret-sync.gke.io/v1",
            kind="SecretSync",
            # The Secret that it makes has its name.
            metadata=self._metadata(settings.secret_name),
            spec={
                "serviceAccountName": self._plan.reader_name,
                "secretProviderClassName": settings.secret_name,
                "secretObject": {
                    "type": "Opaque",
                    "data": [{"sourcePath": _MOUNTED_NAME, "targetKey": settings.secret_key}],
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[account, binding, provider_class], replace_with=self._together
            ),
        )

    def _secret_manager_id(self, settings: SecretManagerToken) -> tuple[str | None, str]:
        """Project and short id of the secret."""
        if settings.secret.startswith("projects/"):
            _, project, _, secret = settings.secret.split("/")
            return project, secret
        return self._plan.project, settings.secret

    def _metadata(self, name: str) -> kubernetes.meta.v1.ObjectMetaArgs:
        return kubernetes.meta.v1.ObjectMetaArgs(name=name, namespace=self._plan.namespace, labels=_LABELS)
