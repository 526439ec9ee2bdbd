"""The API keys of a server as a Kubernetes Secret, from Pulumi's encrypted config or from Google Secret Manager."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes

from gke_llm_inference.planning.access.api_keys import secret_content
from gke_llm_inference.planning.access.plan import ApiKeyPlan
from gke_llm_inference.settings import ConfigApiKeys, SecretManagerApiKeys

from .secret_sync import SecretSyncArgs, synchronized_secret
from .served_apis import ServedApis

_LABELS = {"app.kubernetes.io/managed-by": "pulumi", "app.kubernetes.io/part-of": "gke-llm-inference"}
_MOUNTED_NAME = "api-key"


@dataclass(frozen=True, kw_only=True)
class ApiKeysArgs:
    """What the keys' way into the cluster needs.

    Attributes:
        plan: where the keys come from, and the Secret's name and key.
        namespace: Kubernetes namespace of the Secret.
        keys: the keys themselves by the names that the plan has for them, where they come from Pulumi's config. They
            are made Pulumi secrets in any case.
        after: what must exist before, such as the namespace.
        replace_with: what the objects go and come with: the cluster, where the same program makes it.
        served_apis: what custom resources wait by; they are made at once if None.

    """

    plan: ApiKeyPlan
    namespace: str
    keys: Mapping[str, pulumi.Input[str]] = field(default_factory=dict, repr=False)
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


class ApiKeys(pulumi.ComponentResource):
    """A Kubernetes Secret with the API keys that a server accepts; nothing where it exists already."""

    TYPE = "gke-llm-inference:index:ApiKeys"

    resources: list[pulumi.Resource]
    """What must exist before a pod can read the keys."""
    version: pulumi.Output[str] | None
    """Another one for every change of the keys, for pods that read them only when they start; it says nothing about
    them. None where this stack does not make the Secret, and so does not learn of a change."""

    def __init__(self, name: str, args: ApiKeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        plan = args.plan
        if isinstance(plan.settings, ConfigApiKeys) and (missing := set(plan.settings.keys) - args.keys.keys()):
            raise pulumi.InputPropertiesError(
                "the API keys' source is the config, but not all of them were given",
                [{"property_path": "keys", "reason": f"pass the config's secrets {', '.join(sorted(missing))}"}],
            )
        super().__init__(self.TYPE, name, None, opts)
        self.resources = []
        self.version = None
        match plan.settings:
            case ConfigApiKeys(keys=names):
                secret = kubernetes.core.v1.Secret(
                    f"{name}-secret",
                    metadata=kubernetes.meta.v1.ObjectMetaArgs(
                        name=plan.secret_name, namespace=args.namespace, labels=_LABELS
                    ),
                    type="Opaque",
                    string_data=_content(plan, [args.keys[one] for one in names]),
                    opts=pulumi.ResourceOptions(
                        parent=self, depends_on=args.after, replace_with=args.replace_with or None
                    ),
                )
                self.resources.append(secret)
                # The API server counts it up when the Secret's content changes, and only then.
                self.version = secret.metadata.apply(lambda metadata: metadata.resource_version or "")
            case SecretManagerApiKeys() as settings:
                copy = synchronized_secret(
                    name,
                    self,
                    SecretSyncArgs(
                        secret=settings.secret,
                        version=settings.version,
                        project=plan.project,
                        project_number=settings.project_number,
                        namespace=args.namespace,
                        secret_name=plan.secret_name,
                        secret_key=plan.secret_key,
                        mounted_name=_MOUNTED_NAME,
                        reader_name=plan.reader_name,
                        labels=_LABELS,
                        after=args.after,
                        replace_with=args.replace_with or None,
                        served_apis=args.served_apis,
                    ),
                )
                self.resources.append(copy.sync)
            case _:
                pass
        self.register_outputs({"source": plan.settings.source})


def _content(plan: ApiKeyPlan, keys: list[pulumi.Input[str]]) -> dict[str, pulumi.Output[str]]:
    """What stands in the Secret, by key."""
    content = pulumi.Output.all(*map(pulumi.Output.secret, keys)).apply(lambda values: secret_content(plan, values))
    return {name: content[name] for name in sorted(secret_content(plan, [""]))}
