"""Names that options take: those of the catalog, with the nearest for a typo."""

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.errors import UsageError
from gke_llm_inference.settings import suggestion
from gke_llm_inference.terminal import printable


def known_model(model: str, catalog: Catalog) -> str:
    """The model.

    Raises:
        UsageError: the catalog has none of that name.

    """
    if model in catalog.checkpoints:
        base = catalog.checkpoints[model].base
        raise UsageError(
            f"--model {model} is a checkpoint of {base}; name that one, its checkpoints are tried by themselves"
        )
    if model not in catalog.models:
        raise UsageError(
            f"--model {printable(model)} is not a model of the catalog; {suggestion(model, catalog.models)}"
        )
    return model


def known_region(region: str, catalog: Catalog) -> str:
    """The region.

    Raises:
        UsageError: no GPU of the catalog is there.

    """
    regions = {known for facts in catalog.accelerators.values() for known in facts.zones}
    if region not in regions:
        raise UsageError(f"--region {printable(region)} is not a region with GPUs; {suggestion(region, regions)}")
    return region
