"""What a plan has of the store of models."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from gke_llm_inference.planning.network_policy.decide import NetworkPolicyPlan


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A model at a commit, as it lies in the bucket.

    Attributes:
        bucket: name of the bucket.
        model: Hugging Face id.
        revision: commit of its repository.
        gib: size of its weights in GiB; None where it is not known.

    """

    bucket: str
    model: str
    revision: str
    gib: float | None = None

    @property
    def prefix(self) -> str:
        """What the names of its objects begin with, without a slash at the end."""
        return f"{self.model}/{self.revision}"

    @property
    def uri(self) -> str:
        """Where its files are, for programs that read buckets."""
        return f"gs://{self.bucket}/{self.prefix}"


@dataclass(frozen=True, kw_only=True)
class BucketPlan:
    """The bucket.

    Attributes:
        name: its name, which is nobody else's.
        creates: whether the stack makes it.
        project: Google Cloud project of a bucket that the stack makes.
        location: region, or asia, eu or us.
        crosses_to: the cluster's region, where that is another: reading from the bucket then costs traffic.
        labels: labels of a bucket that the stack makes.
        deletes_contents: whether its models go with it.

    """

    name: str
    creates: bool
    project: str
    location: str
    crosses_to: str | None
    labels: Mapping[str, str]
    deletes_contents: bool = False


@dataclass(frozen=True, kw_only=True)
class StoreReader:
    """A server that reads from the store.

    Attributes:
        server: its name in the configuration.
        account: Kubernetes service account that reads for it.
        member: what IAM knows that account by.
        model: what it reads.

    """

    server: str
    account: str
    member: str
    model: StoredModel


@dataclass(frozen=True, kw_only=True)
class ModelCopy:
    """A Job that copies a model from Hugging Face.

    Attributes:
        model: the model.
        name: name of the Job: the same for the same model, commit and bucket, and another for any other.
        expected_seconds: how long it is expected to take; None where the size is not known.
        deadline_seconds: after how long it has failed.

    """

    model: StoredModel
    name: str
    expected_seconds: int | None
    deadline_seconds: int


@dataclass(frozen=True, kw_only=True)
class CopierPlan:
    """What all Jobs that copy have in common.

    Attributes:
        name: name of their Kubernetes objects.
        namespace: where they run.
        member: what IAM knows their service account by.
        role: what it may do with the bucket.
        image: what runs the program.
        token_secret: name and key of the Secret with the Hugging Face token; None without one.
        labels: labels of the objects and pods.
        selector: labels of the pods, and of no others.
        parallel_files: files that are copied at a time.
        chunk_mib: what is sent at a time.
        cpu_millicores: what a pod requests, and may take.
        memory_mib: the same in MiB.
        ephemeral_storage_mib: the same of the node's disk.
        network_policy: whom the pods may talk to; None where nothing is denied.

    """

    name: str
    namespace: str
    member: str
    role: str
    image: str
    token_secret: tuple[str, str] | None
    labels: Mapping[str, str]
    selector: Mapping[str, str]
    parallel_files: int
    chunk_mib: int
    cpu_millicores: int
    memory_mib: int
    ephemeral_storage_mib: int
    network_policy: NetworkPolicyPlan | None


@dataclass(frozen=True, kw_only=True)
class ModelStorePlan:
    """The store of models.

    Attributes:
        bucket: the bucket.
        models: what lies in it, by model and revision.
        readers: servers that read from it, by name.
        reader_roles: what they may do with the bucket.
        copies: Jobs that fill it, in the order of the models; none where somebody else does.
        copier: what the Jobs have in common; None without any.

    """

    bucket: BucketPlan
    models: tuple[StoredModel, ...]
    readers: tuple[StoreReader, ...]
    reader_roles: tuple[str, ...]
    copies: tuple[ModelCopy, ...] = ()
    copier: CopierPlan | None = None

    def stored(self, model: str, revision: str | None) -> StoredModel | None:
        """A model at a revision; None where the store does not hold it."""
        return self._by_revision.get((model, revision))

    def read_by(self, server: str) -> StoredModel | None:
        """What a server reads, by its name in the configuration; None where it does not read from the store."""
        return self._by_server.get(server)

    def copied_for(self, server: str) -> ModelCopy | None:
        """The Job that copies what a server reads; None without one."""
        return self._by_copied.get(self.read_by(server))

    @cached_property
    def _by_revision(self) -> dict[tuple[str, str | None], StoredModel]:
        return {(one.model, one.revision): one for one in self.models}

    @cached_property
    def _by_server(self) -> dict[str, StoredModel]:
        return {one.server: one.model for one in self.readers}

    @cached_property
    def _by_copied(self) -> dict[StoredModel | None, ModelCopy]:
        return {one.model: one for one in self.copies}
