"""Settings of adapters: fine-tuned differences to a model's weights (LoRA), which one server serves beside it."""

from typing import Annotated

from pydantic import Field, StringConstraints

from gke_llm_inference.settings.base import ModelId, Settings
from gke_llm_inference.settings.model_store import Commit

MOST_ADAPTERS = 500
"""Adapters that a server may have."""
AdapterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
"""Name by which clients ask for an adapter, as `model` in their requests."""


class AdapterSettings(Settings):
    """One adapter."""

    id: ModelId
    """Hugging Face id of its repository."""
    revision: Commit
    """The commit of it that is served: weights that come later are never taken by themselves."""
    rank: Annotated[int, Field(ge=1, le=512)]
    """Its rank (`r` in its adapter_config.json); a pod whose adapter has another does not start."""
    base: ModelId | None = None
    """The model that it was made for (`base_model_name_or_path`), where that is to be compared with the server's."""
