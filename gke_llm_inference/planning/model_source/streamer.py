"""vLLM's Run:ai streamer: what it is told, and how much of the pod's memory it may take."""

import math
from dataclasses import dataclass

from gke_llm_inference.catalog import GIB
from gke_llm_inference.catalog.model_source_facts import StreamerFacts
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.planning.pods import SHARD_GIB, loading_room_gib
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import ServerSettings


@dataclass(frozen=True, kw_only=True)
class Streamer:
    """How vLLM streams a model.

    Attributes:
        load_format: what vLLM calls it.
        concurrency: threads of each GPU's worker.
        buffer_bytes: memory that the threads of one worker read into.
        distributed: whether the GPUs share the reading; each reads the whole model otherwise.
        host_gib: what it takes of the pod's memory beside what loading takes anyway.
        least_memory_gib: the least memory of the pod with which the largest tensor fits.

    """

    load_format: str
    concurrency: int
    buffer_bytes: int
    distributed: bool
    host_gib: int
    least_memory_gib: int

    @property
    def config(self) -> dict[str, int | bool]:
        """What vLLM's loader is configured with."""
        shared = {"distributed": True} if self.distributed else {}
        return {"concurrency": self.concurrency, "memory_limit": self.buffer_bytes, **shared}


def plan_streamer(
    settings: ServerSettings, version: str, model: ServedModel, host_gib: int, facts: StreamerFacts
) -> Streamer:
    """The streamer of a server.

    A worker holds its buffer and a copy of one tensor on its way to the GPU. Together they take the room of the shard
    that another loader would hold, so that a pod needs no more memory with the streamer than without it, unless the
    tensors are very large.

    Args:
        settings: the server's settings.
        version: version of vLLM.
        model: the model.
        host_gib: what extra arguments keep in the pod's memory, in GiB.
        facts: what the streamer can.

    """
    gpus = settings.accelerator.count
    largest = largest_tensor_bytes(model) / GIB
    stated = settings.resources.memory_gib
    wanted = max(facts.buffer_gib, largest)
    room = SHARD_GIB if stated is None else loading_room_gib(gpus, stated, host_gib)
    if stated is None:
        room = max(room, wanted + largest)
    least = loading_room_gib(gpus, 0, host_gib)
    return Streamer(
        load_format=facts.load_format,
        concurrency=facts.concurrency,
        buffer_bytes=math.ceil(max(largest, min(wanted, room - largest)) * GIB),
        distributed=gpus > 1 and version_parts(version) >= version_parts(facts.distributed_since),
        host_gib=0 if stated is not None else math.ceil(gpus * max(0.0, room - SHARD_GIB)),
        least_memory_gib=math.ceil(gpus * (2 * largest - least)),
    )


def largest_tensor_bytes(model: ServedModel) -> int:
    """Size of the largest tensor of a checkpoint, at most.

    That is the embedding at the model's own precision, or what a checkpoint that fuses them has for all experts of a
    layer: their gates and first halves, at the precision of most weights.
    """
    numbers = model.architecture
    embedding = numbers.vocab_size * numbers.hidden_size * numbers.weights_gib
    experts, fused = numbers.experts, 0.0
    if experts is not None:
        width = experts.intermediate_size or numbers.intermediate_size
        fused = experts.count * 2 * numbers.hidden_size * width * model.checkpoint_gib
    return math.ceil(max(embedding, fused) * GIB / numbers.parameters)
