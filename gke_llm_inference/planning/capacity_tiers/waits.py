"""How long it takes until the next tier is tried."""

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import ProvisioningName

FLEX_START_WAIT_SECONDS = 1800
"""For a flex-start machine before another tier is tried. Google takes 1 to 86,400; half an hour is the project's rule:
longer than a machine with GPUs takes to report them, and short enough to fall back within one start's deadline."""


def wait_of(model: ProvisioningName, catalog: Catalog) -> int:
    """Seconds that a tier without machines may take until the next one is tried, at most."""
    return FLEX_START_WAIT_SECONDS if model == "flexStart" else catalog.gke.compute_class.cooldown_seconds
