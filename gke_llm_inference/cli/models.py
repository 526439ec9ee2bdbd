"""The subcommand `models`: which models run on a GPU, or which a stack serves, and the commits that it records."""

import json as json_format
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gke_llm_inference.cli import options
from gke_llm_inference.errors import UsageError
from gke_llm_inference.terminal import progress, write

if TYPE_CHECKING:
    from gke_llm_inference.planning import ServerPlan
    from gke_llm_inference.settings import StackSettings

_COUNTS = (1, 2, 4, 8)


@dataclass(frozen=True)
class ServedRevision:
    """A model of a stack: its revision, None where nothing says, and the servers that serve it."""

    model: str
    revision: str | None
    servers: tuple[str, ...]


def models(
    accelerator: options.Accelerator = "nvidia-l4",
    count: options.Count = 1,
    stack: options.Stack = None,
    config_file: options.ConfigFile = None,
    record: options.RecordCommits = False,
    best: options.BestOfModels = False,
    model: options.OneModel = None,
    region: options.PricedRegion = "us-central1",
    spot: options.Spot = False,
    json: options.Json = False,
    project_dir: options.ProjectDirectory = None,
) -> int:
    """List which models of the catalog run on a GPU, or those of a stack.

    Each of the catalog with its longest context, requests of that length at once, and the price of the machine. With
    --stack or --config-file those that the stack's servers serve, each with its revision; --record asks Hugging Face
    for the commits that their branches stand for and writes them into the stack's file, under modelRevisions. With
    --best GPUs, weights and limits are searched for each model as optimize does, which takes a second or two each.
    """
    if best:
        return _best(model, region, spot=spot, json=json)
    if record or stack is not None or config_file is not None:
        return _of_stack(stack, config_file, project_dir, record=record, json=json)
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


def _best(model: str | None, region: str, *, spot: bool, json: bool) -> int:
    from gke_llm_inference.catalog import load_catalog
    from gke_llm_inference.cli.known_names import known_model, known_region
    from gke_llm_inference.cli.models_best_report import HEADING, choices_document, choices_text, footing
    from gke_llm_inference.planning.model_choices import choices_of

    catalog = load_catalog()
    region = known_region(region, catalog)
    asked = [known_model(model, catalog)] if model is not None else list(catalog.models)
    found = []
    if not json:
        write(HEADING)
    with progress() as show:
        for place, name in enumerate(asked, 1):
            if catalog.models[name].task != "generate":
                continue
            show(f"{place} of {len(asked)}: {name}")
            choices = choices_of(name, catalog, region=region, spot=spot)
            found.append(choices)
            if not json:
                write(choices_text(choices))
    write(json_format.dumps([choices_document(one) for one in found], indent=2) + "\n" if json else footing(found))
    return 0


def _of_stack(
    stack: str | None, config_file: Path | None, project_dir: Path | None, *, record: bool, json: bool
) -> int:
    from gke_llm_inference.cli.hub import commit_of
    from gke_llm_inference.cli.record import record as record_in
    from gke_llm_inference.cli.selection import select
    from gke_llm_inference.planning import plan_stack

    selection = select(stack, config_file, project_dir)
    settings = selection.configuration().settings
    plan = plan_stack(_without_store(settings), selection.identity)
    served = [server for server in plan.servers if server.model_volume is None]
    recorded = dict(settings.model_revisions)
    if record:
        # A server's own revision holds, whatever is recorded.
        asked = sorted({server.model for server in served if settings.servers[server.key].revision is None})
        recorded = record_in(selection, "modelRevisions", asked, commit_of, "commit")
    rows = _rows(served, settings, recorded)
    if json:
        write(json_format.dumps([asdict(row) for row in rows], indent=2) + "\n")
    else:
        write("".join(f"{one.model}\n  {one.revision or 'no revision'}\n  {', '.join(one.servers)}\n" for one in rows))
    return 0


def _without_store(settings: "StackSettings") -> "StackSettings":
    """The settings with every model from Hugging Face: what is to be recorded may be all that a store still lacks."""
    from gke_llm_inference.settings import HuggingFaceSource

    source = HuggingFaceSource(source="huggingFace")
    servers = {
        key: one.model_copy(update={"model_source": source}) if one.store_source else one
        for key, one in settings.servers.items()
    }
    return settings.model_copy(update={"model_store": None, "servers": servers})


def _rows(
    served: "Sequence[ServerPlan]", settings: "StackSettings", recorded: Mapping[str, str]
) -> list[ServedRevision]:
    """Models with their revisions and the servers that serve them, sorted."""
    by_model: dict[tuple[str, str], list[str]] = {}
    for server in served:
        revision = settings.servers[server.key].revision or recorded.get(server.model, "")
        by_model.setdefault((server.model, revision), []).append(server.key)
    return [
        ServedRevision(model, revision or None, tuple(keys)) for (model, revision), keys in sorted(by_model.items())
    ]
