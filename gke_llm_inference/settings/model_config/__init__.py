"""The architecture of a model from its config.json, for models that the catalog does not have."""

from gke_llm_inference.settings.model_config.architecture import architecture_of, read_architecture

__all__ = ["architecture_of", "read_architecture"]
