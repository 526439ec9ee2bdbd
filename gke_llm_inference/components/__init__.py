"""`gke_llm_inference.components` in a checkout: the installed package has the real folder in this place."""

from components import *  # noqa: F403
from components import __all__ as __all__
