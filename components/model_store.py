"""The store of models: its bucket, who may read it, and Jobs that copy models to it from Hugging Face."""

# Postponed annotations: naming the SDKs' modules in them would import these a second before they are needed.
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_gcp as gcp
from pulumi_kubernetes import apiextensions, batch, core, meta, networking

from gke_llm_inference.planning.model_store.specs import PROGRAM, job_spec, program_text

from .served_apis import ServedApis

if TYPE_CHECKING:
    from gke_llm_inference.planning import CopierPlan, ModelCopy, ModelStorePlan

_FQDN_POLICY = ("networking.gke.io/v1alpha1", "FQDNNetworkPolicy")
# Beyond the Job's own deadline, which says more than a timeout does.
_BEYOND_DEADLINE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class ModelStoreArgs:
    """What the store needs.

    Attributes:
        plan: the store, decided.
        after: what must exist before a model can be copied: namespace, token, nodes.
        replace_with: what the objects in the cluster go and come with: the cluster, where the same program makes it.
        served_apis: what custom resources wait by; they are made at once if None.

    """

    plan: ModelStorePlan
    after: list[pulumi.Resource] = field(default_factory=list)
    replace_with: list[pulumi.Resource] = field(default_factory=list)
    served_apis: ServedApis | None = None


class ModelStore(pulumi.ComponentResource):
    """A bucket with models at pinned revisions; pass the cluster's Kubernetes provider in the options.

    An update waits for the Jobs, and with it what reads their models. A Job that failed is made again by the next.
    """

    TYPE = "gke-llm-inference:index:ModelStore"

    bucket: gcp.storage.Bucket | None
    """The bucket; None where it exists already."""
    members: dict[str, list[gcp.storage.BucketIAMMember]]
    """Let the servers read the bucket, by their names in the configuration."""
    writer: gcp.storage.BucketIAMMember | None
    """Lets the Jobs write to the bucket; None, like the four that follow, where nothing is copied."""
    service_account: core.v1.ServiceAccount | None
    """What the Jobs run as."""
    program: core.v1.ConfigMap | None
    """What they run."""
    network_policy: networking.v1.NetworkPolicy | None
    """Denies them all traffic but what they need; None where the settings turn it off."""
    fqdn_network_policy: apiextensions.CustomResource | None
    """Allows them hosts by their names; None where no policy names one."""
    jobs: dict[str, batch.v1.Job]
    """Copy the models, by the Jobs' names."""

    def __init__(self, name: str, args: ModelStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self._prefix, self._plan, self._args = name, args.plan, args
        self.bucket = self._bucket() if args.plan.bucket.creates else None
        self.members = {
            one.server: [self._member(one.account, one.member, role) for role in args.plan.reader_roles]
            for one in args.plan.readers
        }
        self.writer = self.service_account = self.program = self.network_policy = self.fqdn_network_policy = None
        self.jobs = {}
        if args.plan.copier:
            self._copy(args.plan.copier)
        self.register_outputs(
            {"bucket": args.plan.bucket.name, "models": [one.uri for one in args.plan.models]},
        )

    def before(self, server: str) -> list[pulumi.Resource]:
        """What must be there before a server can read its model: its rights, and the copy.

        Args:
            server: its name in the configuration.

        """
        copy = self._plan.copied_for(server)
        return [*self.members.get(server, []), *([self.jobs[copy.name]] if copy else [])]

    def _bucket(self) -> gcp.storage.Bucket:
        plan = self._plan.bucket
        return gcp.storage.Bucket(
            f"{self._prefix}-bucket",
            name=plan.name,
            project=plan.project,
            # As Google answers: another spelling would look like a change.
            location=plan.location.upper(),
            storage_class="STANDARD",
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            force_destroy=plan.deletes_contents,
            # What is deleted can be copied again: nothing is paid for it any longer.
            versioning=gcp.storage.BucketVersioningArgs(enabled=False),
            soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=0),
            # Others' tools may leave parts of uploads behind, which cost as much as what is complete.
            lifecycle_rules=[
                gcp.storage.BucketLifecycleRuleArgs(
                    action=gcp.storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
                    condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=7),
                )
            ],
            labels=dict(plan.labels) or None,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _member(self, account: str, member: str, role: str) -> gcp.storage.BucketIAMMember:
        slug = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", role.rpartition(".")[2]).lower()
        return gcp.storage.BucketIAMMember(
            f"{self._prefix}-{account}-{slug}",
            bucket=self.bucket.name if self.bucket else self._plan.bucket.name,
            role=role,
            member=member,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _copy(self, copier: CopierPlan) -> None:
        options = self._options()
        self.writer = self._member(copier.name, copier.member, copier.role)
        self.service_account = core.v1.ServiceAccount(
            f"{self._prefix}-account",
            metadata=_metadata(copier, copier.name),
            automount_service_account_token=False,
            opts=options,
        )
        # One name for every edition: another program does not make what is copied be copied again.
        self.program = core.v1.ConfigMap(
            f"{self._prefix}-program",
            metadata=_metadata(copier, copier.name),
            data={PROGRAM: program_text()},
            opts=options,
        )
        guards: list[pulumi.Resource] = []
        if copier.network_policy:
            spec: Any = copier.network_policy.spec
            self.network_policy = networking.v1.NetworkPolicy(
                f"{self._prefix}-network-policy", metadata=_metadata(copier, copier.name), spec=spec, opts=options
            )
            guards.append(self.network_policy)
            guards += self._fqdn_policy(copier, copier.network_policy.fqdn_spec, options)
        before = [self.writer, self.service_account, self.program, *guards]
        for copy in self._plan.copies:
            self.jobs[copy.name] = self._job(copy, copier, before)

    def _fqdn_policy(
        self, copier: CopierPlan, spec: dict[str, Any] | None, options: pulumi.ResourceOptions
    ) -> list[pulumi.Resource]:
        if spec is None:
            return []
        apis = self._args.served_apis
        self.fqdn_network_policy = apiextensions.CustomResource(
            f"{self._prefix}-fqdn-network-policy",
            api_version=_FQDN_POLICY[0],
            kind=_FQDN_POLICY[1],
            metadata=_metadata(copier, apis.once_served(*_FQDN_POLICY, copier.name) if apis else copier.name),
            spec=spec,
            opts=options,
        )
        return [self.fqdn_network_policy]

    def _job(self, copy: ModelCopy, copier: CopierPlan, before: list[pulumi.Resource]) -> batch.v1.Job:
        spec: Any = job_spec(copy, copier)
        timeout = f"{copy.deadline_seconds + _BEYOND_DEADLINE_SECONDS}s"
        return batch.v1.Job(
            f"{self._prefix}-{copy.name}",
            metadata=_metadata(
                copier,
                copy.name,
                # A failed Job never becomes another; the next update makes it anew.
                annotations={"pulumi.com/replaceUnready": "true"},
            ),
            spec=spec,
            opts=self._options(
                pulumi.ResourceOptions(
                    depends_on=before,
                    custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout),
                )
            ),
        )

    def _options(self, more: pulumi.ResourceOptions | None = None) -> pulumi.ResourceOptions:
        own = pulumi.ResourceOptions(
            parent=self, depends_on=self._args.after or None, replace_with=self._args.replace_with or None
        )
        return pulumi.ResourceOptions.merge(own, more) if more else own


def _metadata(
    copier: CopierPlan, name: pulumi.Input[str], annotations: dict[str, str] | None = None
) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(
        name=name, namespace=copier.namespace, labels=dict(copier.labels), annotations=annotations
    )
