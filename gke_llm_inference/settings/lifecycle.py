"""How the pods of a server end: settings for what is planned otherwise."""

from typing import Annotated

from pydantic import Field

from gke_llm_inference.settings.base import Settings


class ShutdownSettings(Settings):
    """How long a pod that ends may take; what is absent is planned."""

    drain_seconds: Annotated[int, Field(ge=1, le=3600)] | None = None
    """Seconds that running answers get to end; what the longest is predicted to take, within bounds, if absent."""
    grace_seconds: Annotated[int, Field(ge=5, le=3600)] | None = None
    """Seconds after which Kubernetes kills a pod that ends; what its drain needs if absent. On Spot at most 15, or 105
    on a node pool, which then gets a longer shutdown."""
