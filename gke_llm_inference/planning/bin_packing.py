"""How many equal nodes a number of pods takes."""

from collections.abc import Iterable

from gke_llm_inference.planning.capacity import Capacity


def nodes_for(pods: Iterable[Capacity], room: Capacity) -> int | None:
    """How many nodes the pods take, the largest placed first; None if one does not fit an empty node.

    Args:
        pods: what each pod requests.
        room: what an empty node has for pods.

    """
    full = 0
    open_nodes: list[Capacity] = []
    for pod in sorted(pods, reverse=True):
        place_at = next((index for index, node in enumerate(open_nodes) if pod.fits(node)), None)
        if place_at is None:
            if not pod.fits(room):
                return None
            open_nodes.append(room)
            place_at = len(open_nodes) - 1
        left = pod.taken_from(open_nodes[place_at])
        if left.gpus:
            open_nodes[place_at] = left
        else:
            del open_nodes[place_at]
            full += 1
    return full + len(open_nodes)
