"""Decides on a stack's store of models."""

import math
from collections.abc import Callable, Mapping

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.model_source.source import reader_account
from gke_llm_inference.planning.model_store import findings
from gke_llm_inference.planning.model_store.plan import (
    BucketPlan,
    CopierPlan,
    ModelCopy,
    ModelStorePlan,
    StoredModel,
    StoreReader,
)
from gke_llm_inference.planning.models import served_model
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.network_policy.copies import plan_copy_policy
from gke_llm_inference.planning.plan import ClusterPlan
from gke_llm_inference.settings import (
    CreatedBucket,
    Finding,
    ModelStoreSettings,
    NoToken,
    SecretManagerToken,
    ServerSettings,
    StackSettings,
)
from gke_llm_inference.settings.findings import problems_of

_COPIER = "model-copy"
# Kubernetes adds six characters for a pod, and puts the Job's name into a label of 63.
_JOB_NAME = 52
_LONGEST_BUCKET = 63
# A copy that takes four times what is expected, and the making of a node before it, is no slow day any more.
_SLOWER = 4
_LEAST_DEADLINE_SECONDS = 1800
# For a model of unknown size: 200 GiB at the rate that is planned for take 19 minutes.
_DEADLINE_SECONDS = 4 * 3600
_LABELS = {
    "app.kubernetes.io/component": "model-copy",
    "app.kubernetes.io/managed-by": "pulumi",
    "app.kubernetes.io/part-of": "gke-llm-inference",
}


def readers_of(settings: StackSettings) -> dict[str, ServerSettings]:
    """Servers that read from the store, by name."""
    return {key: one for key, one in sorted(settings.servers.items()) if one.store_source is not None}


def plan_model_store(
    settings: StackSettings,
    cluster: ClusterPlan,
    *,
    name: str,
    project: str | None,
    catalog: Catalog,
    image: Callable[[str], str],
) -> tuple[ModelStorePlan | None, list[Finding]]:
    """The store, and what is wrong or risky.

    Args:
        settings: the stack's settings.
        cluster: the cluster.
        name: the stack's own name, of which the bucket's is made.
        project: the stack's Google Cloud project.
        catalog: the facts to decide by.
        image: the name by which pods run an image.

    """
    asked, readers = settings.model_store, readers_of(settings)
    if asked is None:
        return None, list(findings.without_store(readers))
    wrong = {key: problem for key, one in readers.items() if (problem := findings.revision_problem(key, one.revision))}
    found = list(wrong.values())
    location = asked.bucket.location or cluster.region
    number = _project_number(asked, settings)
    owner, pool = project or cluster.project, cluster.project or project
    found += findings.missing_names(project=owner, number=number, location=location)
    if owner is None or pool is None or location is None or number is None:
        return None, found
    bucket = _bucket(asked, cluster, name=name, project=owner, location=location)
    models = _models(asked, settings, {key: one for key, one in readers.items() if key not in wrong}, bucket, catalog)
    held = {(one.model, one.revision): one for one in models}
    found += [
        findings.not_stored(key, one, models)
        for key, one in readers.items()
        if key not in wrong and (one.model, one.revision) not in held
    ]
    read = {key: known for key, one in readers.items() if (known := held.get((one.model, one.revision or "")))}
    accounts = _Accounts(pool, number, settings.namespace)
    if asked.copies:
        found += findings.name_clashes(_COPIER, settings.servers)
        if isinstance(settings.hugging_face, NoToken):
            found += findings.gated_without_token(_gated(models, settings, catalog))
    if not problems_of(found):
        found += findings.unused(asked, models, read.values())
        found += findings.another_region(bucket, read)
        found += findings.two_revisions(read)
    copies = tuple(_copy(one, catalog) for one in models) if asked.copies else ()
    plan = ModelStorePlan(
        bucket=bucket,
        models=models,
        readers=tuple(_reader(key, settings.servers[key], one, accounts) for key, one in read.items()),
        reader_roles=catalog.model_store.reader_roles,
        copies=copies,
        copier=_copier(settings, cluster, catalog, image, accounts) if copies else None,
    )
    return plan, found


class _Accounts:
    """What IAM knows the cluster's Kubernetes service accounts by."""

    def __init__(self, project: str, number: str, namespace: str) -> None:
        self._pool = (
            f"principal://iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/"
            f"{project}.svc.id.goog/subject/ns/{namespace}/sa/"
        )

    def member(self, account: str) -> str:
        return f"{self._pool}{account}"


def _reader(key: str, settings: ServerSettings, model: StoredModel, accounts: _Accounts) -> StoreReader:
    account = reader_account(key, settings)
    return StoreReader(server=key, account=account, member=accounts.member(account), model=model)


def _project_number(asked: ModelStoreSettings, settings: StackSettings) -> str | None:
    if asked.project_number is not None:
        return asked.project_number
    token = settings.hugging_face
    return token.project_number if isinstance(token, SecretManagerToken) else None


def _bucket(asked: ModelStoreSettings, cluster: ClusterPlan, *, name: str, project: str, location: str) -> BucketPlan:
    settings = asked.bucket
    crosses_to = cluster.region if cluster.region not in (None, location) else None
    if not isinstance(settings, CreatedBucket):
        return BucketPlan(
            name=settings.name,
            creates=False,
            project=project,
            location=location,
            crosses_to=crosses_to,
            labels={},
        )
    return BucketPlan(
        # Buckets of everybody share one namespace; that of projects is one already.
        name=settings.name or dns_label(f"{project}-{name}-models", _LONGEST_BUCKET),
        creates=True,
        project=project,
        location=location,
        crosses_to=crosses_to,
        labels=cluster.labels,
        deletes_contents=settings.delete_contents,
    )


def _models(
    asked: ModelStoreSettings,
    settings: StackSettings,
    readers: Mapping[str, ServerSettings],
    bucket: BucketPlan,
    catalog: Catalog,
) -> tuple[StoredModel, ...]:
    named = {(one.model, one.revision) for one in asked.models or ()}
    if asked.models is None:
        named = {(one.model, one.revision or "") for one in readers.values()}
    sizes = _sizes(settings, catalog)
    return tuple(
        StoredModel(bucket=bucket.name, model=model, revision=revision, gib=sizes.get(model))
        for model, revision in sorted(named)
    )


def _sizes(settings: StackSettings, catalog: Catalog) -> dict[str, float]:
    """Size of each model's weights in GiB: as a server of it describes it, or as the catalog does."""
    sizes = {model: known.weights_gib for model, known in catalog.models.items()}
    servers = {
        server.model: (f"servers.{key}", server) for key, server in sorted(settings.servers.items(), reverse=True)
    }
    for model, (path, server) in servers.items():
        served, _ = served_model(path, server, catalog)
        if served is not None:
            sizes[model] = served.checkpoint_gib
    return sizes


def _gated(models: tuple[StoredModel, ...], settings: StackSettings, catalog: Catalog) -> list[str]:
    """Models that need a token, sorted."""
    gated = {name for name, one in catalog.models.items() if one.gated}
    gated |= {name for name, one in catalog.checkpoints.items() if one.gated}
    gated |= {one.model for one in settings.servers.values() if one.architecture and one.architecture.gated}
    return sorted({one.model for one in models} & gated)


def _copy(model: StoredModel, catalog: Catalog) -> ModelCopy:
    expected = None if model.gib is None else math.ceil(model.gib / catalog.startup.download.gib_per_second)
    deadline = _DEADLINE_SECONDS
    if expected is not None:
        wait = math.ceil(catalog.startup.node_longest.seconds)
        deadline = max(_LEAST_DEADLINE_SECONDS, wait + _SLOWER * expected)
    return ModelCopy(
        model=model,
        name=dns_label(f"{_COPIER}-{model.model}-{model.revision}-{model.bucket}", _JOB_NAME),
        expected_seconds=expected,
        deadline_seconds=deadline,
    )


def _copier(
    settings: StackSettings,
    cluster: ClusterPlan,
    catalog: Catalog,
    image: Callable[[str], str],
    accounts: _Accounts,
) -> CopierPlan:
    facts, token = catalog.model_store, settings.hugging_face
    selector = {"app.kubernetes.io/component": "model-copy"}
    return CopierPlan(
        name=_COPIER,
        namespace=settings.namespace,
        member=accounts.member(_COPIER),
        role=facts.writer_role,
        image=image(facts.image),
        token_secret=None if isinstance(token, NoToken) else (token.secret_name, token.secret_key),
        labels=_LABELS,
        selector=selector,
        parallel_files=facts.parallel_files,
        chunk_mib=facts.chunk_mib,
        cpu_millicores=facts.requests.cpu_millicores,
        memory_mib=facts.requests.memory_mib,
        ephemeral_storage_mib=facts.requests.ephemeral_storage_mib,
        network_policy=plan_copy_policy(
            settings.network_policy, catalog.network, selector=selector, cluster=cluster.settings
        ),
    )
