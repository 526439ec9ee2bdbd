"""A simulated GKE on this machine: a real control plane, simulated nodes and pods."""

from local_gke.cluster import LocalGke, Running
from local_gke.errors import LocalGkeError

__all__ = ["LocalGke", "LocalGkeError", "Running"]
