"""Names of compute classes. They are of the whole cluster, so that the namespace is a part of them."""

from collections.abc import Sequence

from gke_llm_inference.planning.names import dns_label


def class_name(namespace: str, server: str) -> str:
    """The name of the class of a server."""
    return dns_label(f"{namespace}-{server}")


def pools_class_name(namespace: str, pools: Sequence[str]) -> str:
    """The name of the class that tries node pools in order: one for all servers that list the same."""
    return dns_label(f"{namespace}-{'-then-'.join(pools)}")
