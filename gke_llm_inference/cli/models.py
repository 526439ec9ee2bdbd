"""The subcommand `models`: which models run on a GPU."""

import json as json_format
from dataclasses import asdict

from gke_llm_inference.cli import options
from gke_llm_inference.errors import UsageError
from gke_llm_inference.terminal import write

_COUNTS = (1, 2, 4, 8)


def models(
    accelerator: options.Accelerator = "nvidia-l4",
    count: options.Count = 1,
    json: options.Json = False,
    project_dir: options.ProjectDirectory = None,  # noqa: ARG001 - as for every subcommand; the catalog is the package's
) -> int:
    """List which models of the catalog run on a GPU.

    Each with its longest context, requests of that length at once, and the price of the machine.
    """
    from gke_llm_inference.catalog import load_catalog
    from gke_llm_inference.cli.models_report import model_rows, models_text
    from gke_llm_inference.settings import suggestion

    catalog = load_catalog()
    if accelerator not in catalog.accelerators:
        near = suggestion(accelerator, catalog.accelerators)
        raise UsageError(f"--accelerator {accelerator} is not a GPU of the catalog; {near}")
    if count not in _COUNTS:
        raise UsageError(f"--count {count}: use one of {', '.join(map(str, _COUNTS))}")
    rows = model_rows(accelerator, count, catalog)
    write(json_format.dumps([asdict(row) for row in rows], indent=2) + "\n" if json else models_text(list(rows)))
    return 0
