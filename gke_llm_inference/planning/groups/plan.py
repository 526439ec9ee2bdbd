"""What a group of pods is: one replica over several machines. Plain data."""

from dataclasses import dataclass

GROUP_API = ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")
"""API version and kind of the object that keeps groups of pods; fields as of v0.9.0 (sigs.k8s.io/lws)."""
GROUP_INDEX_LABEL = "leaderworkerset.sigs.k8s.io/group-index"
"""Label of every pod of a group with the number of its group."""
MULTI_NODE_SINCE = "0.12.0"
"""First vLLM with `--nnodes` (vllm/engine/arg_utils.py); before it, only Ray spans machines."""
LEADER_LABELS = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}
"""Label by which the leader of a group differs from its workers."""


@dataclass(frozen=True, kw_only=True)
class GroupPlan:
    """The machines that each replica of a server spans.

    Attributes:
        nodes: machines, each with one pod.
        layers: layers of each pipeline stage, in the order of the stages.
        tensor_parallel: GPUs of one machine that share every layer.
        one_zone: whether Kubernetes itself keeps a group in one zone; nothing else would.

    """

    nodes: int
    layers: tuple[int, ...]
    tensor_parallel: int
    one_zone: bool

    @property
    def summary(self) -> str:
        """What a replica consists of, in a phrase."""
        each = " + ".join(map(str, self.layers))
        return (
            f"{self.nodes} pods a replica, one on each machine; {len(self.layers)} pipeline stages of {each} layers, "
            f"tensor parallelism over {self.tensor_parallel} GPUs of a machine"
        )


def stage_layers(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each pipeline stage, as vLLM divides them.

    What is left over goes to the stages before the last, one each: the last has the output layer, and the first has
    the embedding (vllm/distributed/utils.py: get_pp_indices).
    """
    each, rest = divmod(layers, stages)
    found = [each] * stages
    for place in range(2, rest + 2):
        found[-place] += 1
    return tuple(found)
