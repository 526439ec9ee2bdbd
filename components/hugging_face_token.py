"""The Hugging Face token as a Kubernetes Secret, from Pulumi's encrypted config or from Google Secret Manager."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass, field

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

from gke_llm_inference.planning import TokenPlan
from gke_llm_inference.settings import ConfigToken, SecretManagerToken

from .secret_sync import SecretSyncArgs, synchronized_secret
from .served_apis import ServedApis

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
        served_apis: what custom resources wait by; they are made at once if None.

    """

    plan: TokenPlan
    token: pulumi.Input[str] | None = None
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


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
                copy = synchronized_secret(
                    name,
                    self,
                    SecretSyncArgs(
                        secret=settings.secret,
                        version=settings.version,
                        project=args.plan.project,
                        project_number=settings.project_number,
                        namespace=args.plan.namespace,
                        secret_name=settings.secret_name,
                        secret_key=settings.secret_key,
                        mounted_name=_MOUNTED_NAME,
                        reader_name=args.plan.reader_name,
                        labels=_LABELS,
                        after=args.after,
                        replace_with=self._together,
                        served_apis=args.served_apis,
                    ),
                )
                self.reader, self.access = copy.reader, copy.access
                self.provider_class, self.sync = copy.provider_class, copy.sync
                self.resources.append(copy.sync)
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

    def _metadata(self, name: str) -> kubernetes.meta.v1.ObjectMetaArgs:
        return kubernetes.meta.v1.ObjectMetaArgs(name=name, namespace=self._plan.namespace, labels=_LABELS)
