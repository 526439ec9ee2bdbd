"""What is wrong or risky with a stack's store of models."""

from collections.abc import Iterable, Iterator, Mapping

from gke_llm_inference.planning.model_store.plan import BucketPlan, StoredModel
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.settings import Finding, ModelStoreSettings, ServerSettings, nearest
from gke_llm_inference.settings.model_store import is_commit

PATH = "modelStore"
"""Where the store stands in the configuration."""
_SHOWN = 5
_RECORD = "gke-llm-inference models --record"


def without_store(readers: Iterable[str]) -> Iterator[Finding]:
    """A problem for each server that reads from a store where the stack has none."""
    for key in readers:
        yield Finding(
            path=f"servers.{key}.modelSource",
            what="reads from a store, and the stack has none",
            why="nothing says which bucket",
            fix="add modelStore with a bucket, or remove modelSource",
        )


def missing_names(*, project: str | None, number: str | None, location: str | None) -> Iterator[Finding]:
    """Problems of what a store needs and nobody says."""
    if project is None:
        yield Finding(
            path=PATH,
            what="has no project",
            why="the bucket needs one, and IAM knows the cluster's service accounts by its project",
            fix="set gcp:project",
        )
    if number is None:
        yield Finding(
            path=f"{PATH}.projectNumber",
            what="is missing",
            why="IAM knows Kubernetes service accounts by the number of the cluster's project",
            fix="set it to what this prints: gcloud projects describe PROJECT --format 'value(projectNumber)'",
        )
    if location is None:
        yield Finding(
            path=f"{PATH}.bucket.location",
            what="is missing",
            why="the cluster's region is not known here, and a bucket elsewhere costs traffic at every start",
            fix="set it to the bucket's region",
        )


def revision_problem(key: str, revision: str | None) -> Finding | None:
    """What is wrong with the revision of a server that reads from a store."""
    path = f"servers.{key}.revision"
    if revision is None:
        return Finding(
            path=path,
            what="is missing",
            why="a store keeps each model under its commit",
            fix=f"set it to a commit, or let {_RECORD} record one",
        )
    if not is_commit(revision):
        return Finding(
            path=path,
            what=f"{revision} is not a commit",
            why="a branch or a tag may come to stand for other files, and a store keeps what it once copied",
            fix=f"give the commit's 40 hexadecimal digits, or remove it and let {_RECORD} record one",
        )
    return None


def not_stored(key: str, server: ServerSettings, models: Iterable[StoredModel]) -> Finding:
    """What is wrong where a server reads what the store does not hold: another revision is there, or none."""
    held = list(models)
    revisions = [one.revision for one in held if one.model == server.model]
    if revisions:
        closest = nearest(server.revision or "", revisions) or revisions[0]
        return Finding(
            path=f"servers.{key}.revision",
            what=f"{server.revision} of {server.model} is not in the store",
            why=f"{PATH}.models has it at {' and '.join(revisions)}",
            fix=f"use {closest}, or add this revision to {PATH}.models",
        )
    names = sorted({one.model for one in held})
    meant = nearest(server.model, names)
    return Finding(
        path=f"servers.{key}.model",
        what=f"{server.model} is not in the store",
        why=f"{PATH}.models has {', '.join(names) or 'none'}",
        fix=(f"did you mean {meant}? Otherwise " if meant else "") + f"add it to {PATH}.models",
    )


def name_clashes(copier: str, servers: Iterable[str]) -> Iterator[Finding]:
    """Problems of servers that get the name of what copies models."""
    for key in sorted(servers):
        if dns_label(key) == copier:
            yield Finding(
                path=f"servers.{key}",
                what=f"gets the name of the service account that copies models: {copier}",
                why="each of the two needs a service account of its own",
                fix="rename the server",
            )


def gated_without_token(models: Iterable[str]) -> Iterator[Finding]:
    """Problems of models that nobody may copy without a token."""
    for model in models:
        yield Finding(
            path=PATH,
            what=f"{model} is gated and the stack has no Hugging Face token",
            why="the copy would be refused",
            fix="set huggingFace.tokenSource, after accepting the model's license with that account; "
            "or copy: false, where somebody else copies it",
        )


def another_region(bucket: BucketPlan, readers: Mapping[str, StoredModel]) -> Iterator[Finding]:
    """A warning of a bucket that is not in the cluster's region."""
    if bucket.crosses_to is None:
        return
    sizes = [f"{key} {'an unknown size' if one.gib is None else f'{one.gib:.1f} GiB'}" for key, one in readers.items()]
    more = [f"and {len(sizes) - _SHOWN} more"] if len(sizes) > _SHOWN else []
    each = ", ".join([*sizes[:_SHOWN], *more])
    yield Finding(
        path=f"{PATH}.bucket.location",
        what=f"{bucket.location} is not the cluster's {bucket.crosses_to}",
        why=f"each start of a pod pays for traffic from there{f': {each}' if each else ''}; and it is slower",
        fix=f"use a bucket in {bucket.crosses_to}",
        severity="warning",
    )


def unused(asked: ModelStoreSettings, models: Iterable[StoredModel], read: Iterable[StoredModel]) -> Iterator[Finding]:
    """Warnings of what no server reads: it may be misspelled, and it is paid for."""
    held, used = list(models), {(one.model, one.revision) for one in read}
    if not held:
        yield Finding(
            path=PATH,
            what="holds no model",
            why="it names none, and no server reads from it",
            fix="give a server modelSource: {source: modelStore}, or remove it",
            severity="warning",
        )
    for index, one in enumerate(asked.models or ()):
        if (one.model, one.revision) not in used:
            yield Finding(
                path=f"{PATH}.models[{index}]",
                what=f"no server reads {one.model} at {one.revision}",
                why="it is copied and kept for nobody of this stack",
                fix="remove it, unless others read it",
                severity="warning",
            )


def two_revisions(readers: Mapping[str, StoredModel]) -> Iterator[Finding]:
    """A warning for each model that servers read at more than one revision."""
    by_model: dict[str, dict[str, list[str]]] = {}
    for key, one in readers.items():
        by_model.setdefault(one.model, {}).setdefault(one.revision, []).append(key)
    for model, revisions in sorted(by_model.items()):
        if len(revisions) > 1:
            listed = "; ".join(f"{', '.join(keys)} at {revision}" for revision, keys in sorted(revisions.items()))
            yield Finding(
                path=PATH,
                what=f"{model} is read at {len(revisions)} revisions: {listed}",
                why="each is copied, kept and paid for",
                fix="use one revision, unless you compare them",
                severity="warning",
            )
