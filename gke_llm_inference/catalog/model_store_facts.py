"""What copies models to a bucket; the facts are read where a stack has a store of models."""

from functools import cache

from pydantic import Field

from gke_llm_inference.catalog.facts import Facts, Positive
from gke_llm_inference.catalog.files import directory, read


class CopyRequests(Facts):
    """What a pod that copies a model requests, and may take."""

    cpu_millicores: Positive
    memory_mib: Positive
    ephemeral_storage_mib: Positive


class ModelStoreFacts(Facts):
    """A store of models: what fills it, and the roles that it takes."""

    source: str
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    image: str
    """What runs the program that copies; it needs Python and nothing else."""
    writer_role: str
    """What the program may do with the bucket."""
    reader_roles: tuple[str, ...]
    """What a server that reads from it may do with the bucket."""
    cache_roles: tuple[str, ...]
    """What a server that keeps what it compiled may do with a bucket of its own."""
    parallel_files: Positive
    """Files that are copied at a time."""
    chunk_mib: Positive
    """What is sent at a time."""
    requests: CopyRequests


@cache
def read_model_store_facts() -> ModelStoreFacts:
    """The facts that ship with the package.

    Raises:
        pydantic.ValidationError: the file does not have the shape that this module states.

    """
    return ModelStoreFacts.model_validate(read(directory() / "model_store.yaml"))
