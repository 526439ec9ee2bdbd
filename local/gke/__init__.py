"""A simulated GKE on this machine: a real control plane, simulated nodes and pods."""

from local.gke.cluster import LocalGke, Running
from local.gke.errors import LocalGkeError

__all__ = ["LocalGke", "LocalGkeError", "Running"]
