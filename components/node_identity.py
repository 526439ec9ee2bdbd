"""The service account that nodes run as, with the roles that a GKE node needs and no more."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

# Images from Artifact Registry; logs, metrics and node registration; image streaming, which bills to the project.
NODE_ROLES = (
    "roles/artifactregistry.reader",
    "roles/container.defaultNodeServiceAccount",
    "roles/serviceusage.serviceUsageConsumer",
)
CLOUD_PLATFORM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""The one access scope; what nodes may do is decided by IAM roles."""


@dataclass(frozen=True, kw_only=True)
class NodeIdentityArgs:
    """What a node identity needs.

    Attributes:
        account_id: id of the service account, 6 to 30 characters.
        project: Google Cloud project.

    """

    account_id: str
    project: str


class NodeIdentity(pulumi.ComponentResource):
    """A service account for nodes and its role bindings in the project."""

    TYPE = "gke-llm-inference:index:NodeIdentity"

    email: pulumi.Output[str]
    """Email of the service account."""
    account: gcp.serviceaccount.Account
    """The service account itself."""
    bindings: list[gcp.projects.IAMMember]
    """Nodes work only once these exist."""

    def __init__(self, name: str, args: NodeIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(self.TYPE, name, None, opts)
        self.account = account = gcp.serviceaccount.Account(
            f"{name}-account",
            project=args.project,
            account_id=args.account_id,
            display_name="Nodes of a GKE cluster for LLM inference",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.email = account.email
        self.bindings = [
            gcp.projects.IAMMember(
                f"{name}-{role.rpartition('/')[2].replace('.', '-').lower()}",
                project=args.project,
                role=role,
                member=account.member,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for role in NODE_ROLES
        ]
        self.register_outputs({"email": self.email})
