"""The architecture of a model from its config.json, for models that the catalog does not have."""

from gke_llm_inference.settings.model_config.architecture import (
    WeightCounts,
    architecture_of,
    read_architecture,
    weight_counts,
)

__all__ = ["WeightCounts", "architecture_of", "read_architecture", "weight_counts"]
