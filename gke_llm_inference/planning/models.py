"""Which model a server loads: its architecture, its checkpoint's format, and how large that is."""

from dataclasses import dataclass
from typing import Literal

from gke_llm_inference.catalog import Catalog, ModelArchitecture
from gke_llm_inference.catalog.preset_facts import CheckpointFormat
from gke_llm_inference.planning.checkpoint_size import checkpoint_gib
from gke_llm_inference.settings import Finding, ServerSettings, nearest


@dataclass(frozen=True)
class ServedModel:
    """A model as a server loads it.

    Attributes:
        id: Hugging Face id.
        architecture: its numbers.
        family: model family, such as gemma.
        gated: whether its download needs a token.
        checkpoint: format of its checkpoint.
        checkpoint_bits: bits of a linear layer's weight in it, where the format leaves that open.
        checkpoint_type: type of its 8-bit weights, where the format leaves that open.

    """

    id: str
    architecture: ModelArchitecture
    family: str
    gated: bool
    checkpoint: CheckpointFormat
    checkpoint_bits: int | None = None
    checkpoint_type: Literal["float", "int"] = "float"

    @property
    def checkpoint_gib(self) -> float:
        """Size of the checkpoint in GiB: what is downloaded and kept on disk."""
        return checkpoint_gib(self.architecture, self.checkpoint, self.checkpoint_bits)


def served_model(path: str, settings: ServerSettings, catalog: Catalog) -> tuple[ServedModel | None, list[Finding]]:
    """The model of a server, or why it is not known."""
    given = settings.architecture
    known = catalog.models.get(settings.model)
    if given is not None:
        gated = given.gated or (known is not None and known.gated)
        return (
            ServedModel(
                settings.model,
                given,
                given.family,
                gated,
                given.checkpoint,
                given.checkpoint_bits,
                given.checkpoint_type,
            ),
            [],
        )
    if known is not None:
        return ServedModel(settings.model, known, known.family, known.gated, "none"), []
    checkpoint = catalog.checkpoints.get(settings.model)
    if checkpoint is not None:
        base = catalog.models[checkpoint.base]
        return (
            ServedModel(settings.model, base, base.family, checkpoint.gated, checkpoint.format, checkpoint.bits),
            [],
        )
    meant = nearest(settings.model, [*catalog.models, *catalog.checkpoints])
    return None, [
        Finding(
            path=f"{path}.model",
            what=f"{settings.model} is not in the catalog",
            why="without the model's numbers nothing about it can be planned",
            fix=(f"did you mean {meant}? Otherwise " if meant else "")
            + f"describe it under {path}.architecture, or name its config.json under {path}.configFile",
        )
    ]


def known_checkpoints(model: str, formats: tuple[CheckpointFormat, ...], catalog: Catalog) -> list[str]:
    """Ids of the catalog's checkpoints of a model in one of the formats, sorted."""
    return sorted(
        name
        for name, checkpoint in catalog.checkpoints.items()
        if checkpoint.base == model and checkpoint.format in formats
    )
