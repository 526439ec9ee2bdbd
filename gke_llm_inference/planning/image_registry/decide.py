"""Decides which repositories of Artifact Registry images come through."""

from gke_llm_inference.catalog.registry_facts import RegistryFacts
from gke_llm_inference.planning.image_registry.plan import ImageRegistryPlan, RepositoryPlan
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.planning.startup import streams_to
from gke_llm_inference.settings import (
    CreatedImageRegistry,
    ExistingCluster,
    Finding,
    ImageRegistrySettings,
    suggestion,
)

_PATH = "imageRegistry"
_READER_ROLE = "roles/artifactregistry.reader"


def plan_image_registry(
    asked: ImageRegistrySettings | None,
    cluster: ClusterPlan,
    *,
    name: str,
    project: str | None,
    facts: RegistryFacts,
) -> tuple[ImageRegistryPlan | None, list[Finding]]:
    """How images come to the nodes: with every repository that there may be, and what is wrong or risky.

    Args:
        asked: what the stack says; None where images are pulled from their own registries.
        cluster: the cluster.
        name: the stack's own name, of which ids of repositories are made.
        project: the stack's Google Cloud project.
        facts: the registries that a remote repository can stand before.

    """
    if asked is None:
        return None, []
    creates = isinstance(asked, CreatedImageRegistry)
    owner = project if isinstance(asked, CreatedImageRegistry) else asked.project or project
    location = asked.location or cluster.region
    findings = _missing(owner, location)
    if isinstance(asked, CreatedImageRegistry):
        findings += _unknown_upstreams(asked, facts)
    if owner is None or location is None:
        return None, findings
    # A project of a domain, as example.com:team, has a slash in the names of images.
    prefix = f"{location}-docker.pkg.dev/{owner.replace(':', '/')}"
    if isinstance(asked, CreatedImageRegistry):
        ids = {host: dns_label(f"{name}-{one.slug}") for host, one in facts.upstreams.items()}
        repositories = tuple(
            RepositoryPlan(
                upstream=host,
                repository_id=ids[host],
                slug=one.slug,
                address=f"{prefix}/{ids[host]}",
                preset=one.preset,
                upstream_address=one.address,
                credentials=asked.credentials.get(host),
            )
            for host, one in sorted(facts.upstreams.items())
        )
    else:
        repositories = tuple(
            RepositoryPlan(upstream=host, repository_id=one, slug=dns_label(host), address=f"{prefix}/{one}")
            for host, one in sorted(asked.repositories.items())
        )
    findings += _not_streamed(location, cluster, creates=creates)
    findings += _unreadable(cluster, owner, creates=creates)
    plan = ImageRegistryPlan(
        project=owner,
        location=location,
        creates=creates,
        repositories=repositories,
        labels=cluster.labels,
    )
    return plan, findings


def unused_registries(asked: ImageRegistrySettings | None, used: ImageRegistryPlan | None) -> list[Finding]:
    """A warning for each registry that the stack speaks of and no image comes from: it may be misspelled."""
    if asked is None or used is None:
        return []
    hosts = {one.upstream for one in used.repositories}
    if not hosts:
        return [
            Finding(
                path=_PATH,
                what="no image of the stack comes through it",
                why="nothing uses it",
                fix="remove it",
                severity="warning",
            )
        ]
    key = "credentials" if isinstance(asked, CreatedImageRegistry) else "repositories"
    stated = asked.credentials if isinstance(asked, CreatedImageRegistry) else asked.repositories
    return [
        Finding(
            path=f"{_PATH}.{key}.{host}",
            what=f"no image of the stack comes from {host}",
            why="nothing uses it",
            fix=f"remove it; images come from {', '.join(sorted(hosts))}",
            severity="warning",
        )
        for host in sorted(stated)
        if host not in hosts
    ]


def _missing(project: str | None, location: str | None) -> list[Finding]:
    findings = []
    if project is None:
        findings.append(
            Finding(
                path=_PATH,
                what="has no project",
                why="an image's name in Artifact Registry has the project in it",
                fix="set gcp:project",
            )
        )
    if location is None:
        findings.append(
            Finding(
                path=f"{_PATH}.location",
                what="is missing",
                why="the cluster's region is not known here, and an image's name in Artifact Registry has one in it",
                fix="set it to the cluster's region",
            )
        )
    return findings


def _unknown_upstreams(asked: CreatedImageRegistry, facts: RegistryFacts) -> list[Finding]:
    return [
        Finding(
            path=f"{_PATH}.credentials.{host}",
            what="is not a registry that the stack makes a repository for",
            why=f"it makes them for {' and '.join(sorted(facts.upstreams))}",
            fix=f"{suggestion(host, facts.upstreams)}; or name a repository of yours, with mode: existing",
        )
        for host in sorted(asked.credentials)
        if host not in facts.upstreams
    ]


def _not_streamed(location: str, cluster: ClusterPlan, *, creates: bool) -> list[Finding]:
    if streams_to(location, cluster.region):
        return []
    return [
        Finding(
            path=f"{_PATH}.location",
            what=f"GKE does not stream from {location} to {cluster.region}",
            why="it streams to nodes of the repository's own region or multi-region only; they pull the whole image",
            fix=f"set it to {cluster.region}, or leave it out" if creates else f"use repositories in {cluster.region}",
            severity="warning",
        )
    ]


def _unreadable(cluster: ClusterPlan, project: str, *, creates: bool) -> list[Finding]:
    """A warning where this stack cannot see to it that nodes may read the repositories."""
    settings = cluster.settings
    if isinstance(settings, ExistingCluster):
        # The stack gives the role to the service account that it knows, of repositories that it makes.
        if creates and settings.node_service_account is not None:
            return []
    elif project == cluster.project:
        return []
    return [
        Finding(
            path=_PATH,
            what=f"the nodes need {_READER_ROLE} in {project}",
            why="the stack does not give it to them here, and without it no image can be pulled",
            fix=f"gcloud projects add-iam-policy-binding {project} --role {_READER_ROLE} "
            "--member serviceAccount:NODES_EMAIL, if they do not have it",
            severity="warning",
        )
    ]
