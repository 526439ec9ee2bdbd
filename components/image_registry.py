"""Remote repositories of Artifact Registry: images come through them, so that GKE streams them to the nodes."""

# Postponed annotations: naming the SDK's modules in them would import these a second before they are needed.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_gcp as gcp

if TYPE_CHECKING:
    from gke_llm_inference.planning import ImageRegistryPlan, RepositoryPlan

_READER_ROLE = "roles/artifactregistry.reader"
_SERVICE = "artifactregistry.googleapis.com"


@dataclass(frozen=True, kw_only=True)
class ImageRegistryArgs:
    """What the repositories need.

    Attributes:
        plan: the repositories, decided.
        reader: email of the service account that nodes run as, which is let read them; None where it may already.

    """

    plan: ImageRegistryPlan
    reader: pulumi.Input[str] | None = None


class ImageRegistry(pulumi.ComponentResource):
    """A remote repository for each registry that images come from, and who may read it; none where they exist."""

    TYPE = "gke-llm-inference:index:ImageRegistry"

    repositories: dict[str, gcp.artifactregistry.Repository]
    """Repositories by the host of the registry that each stands before."""
    readers: list[gcp.artifactregistry.RepositoryIamMember]
    """Let the nodes read the repositories."""
    agent: gcp.projects.ServiceIdentity | None
    """What Artifact Registry acts as; None where no repository has credentials."""
    resources: list[pulumi.Resource]
    """What must exist before a pod can pull an image through a repository."""

    def __init__(self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self._prefix = name
        self._plan = args.plan
        self.repositories = {}
        self.readers = []
        self.agent = None
        made = args.plan.repositories if args.plan.creates else ()
        access = self._secret_access([one for one in made if one.credentials])
        for one in made:
            self.repositories[one.upstream] = repository = self._repository(one, access)
            if args.reader is not None:
                self.readers.append(
                    gcp.artifactregistry.RepositoryIamMember(
                        f"{name}-{one.slug}-reader",
                        project=args.plan.project,
                        location=args.plan.location,
                        repository=repository.repository_id,
                        role=_READER_ROLE,
                        member=pulumi.Output.concat("serviceAccount:", args.reader),
                        opts=pulumi.ResourceOptions(parent=self),
                    )
                )
        self.resources = [*self.repositories.values(), *self.readers]
        self.register_outputs({"repositories": {one.upstream: one.address for one in args.plan.repositories}})

    def _repository(self, plan: RepositoryPlan, access: list[pulumi.Resource]) -> gcp.artifactregistry.Repository:
        hub, other = None, None
        if plan.preset:
            hub = gcp.artifactregistry.RepositoryRemoteRepositoryConfigDockerRepositoryArgs(
                public_repository=plan.preset
            )
        else:
            other = gcp.artifactregistry.RepositoryRemoteRepositoryConfigCommonRepositoryArgs(
                uri=plan.upstream_address or ""
            )
        login = None
        if plan.credentials:
            login = gcp.artifactregistry.RepositoryRemoteRepositoryConfigUpstreamCredentialsArgs(
                username_password_credentials=gcp.artifactregistry.RepositoryRemoteRepositoryConfigUpstreamCredentialsUsernamePasswordCredentialsArgs(
                    username=plan.credentials.username,
                    password_secret_version=plan.credentials.secret_version,
                )
            )
        return gcp.artifactregistry.Repository(
            f"{self._prefix}-{plan.slug}",
            project=self._plan.project,
            location=self._plan.location,
            repository_id=plan.repository_id,
            description=f"Images of {plan.upstream} for GKE's image streaming",
            format="DOCKER",
            mode="REMOTE_REPOSITORY",
            remote_repository_config=gcp.artifactregistry.RepositoryRemoteRepositoryConfigArgs(
                description=plan.upstream,
                docker_repository=hub,
                common_repository=other,
                upstream_credentials=login,
            ),
            labels=dict(self._plan.labels) or None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=access if plan.credentials else None),
        )

    def _secret_access(self, repositories: list[RepositoryPlan]) -> list[pulumi.Resource]:
        """Lets Artifact Registry read the secrets that repositories name; it must before they are made."""
        names = sorted({one.credentials.secret_version for one in repositories if one.credentials})
        secrets = sorted({tuple(name.split("/")[1:4:2]) for name in names})
        if not secrets:
            return []
        self.agent = agent = gcp.projects.ServiceIdentity(
            f"{self._prefix}-agent",
            project=self._plan.project,
            service=_SERVICE,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return [
            gcp.secretmanager.SecretIamMember(
                f"{self._prefix}-{project}-{secret}",
                project=project,
                secret_id=secret,
                role="roles/secretmanager.secretAccessor",
                member=agent.member,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for project, secret in secrets
        ]
