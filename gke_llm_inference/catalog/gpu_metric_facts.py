"""What GKE measures of GPUs, and how a cluster is told to."""

from gke_llm_inference.catalog.facts import Facts


class GpuMetrics(Facts):
    """The metrics of GKE's exporter of DCGM, each a gauge of one GPU."""

    source: str
    date: str
    component: str
    """What a cluster's monitoring configuration calls it."""
    utilization: str
    """Share of time in which a kernel ran, in percent."""
    memory_used: str
    """MiB in use."""
    memory_free: str
    """MiB that are free."""
