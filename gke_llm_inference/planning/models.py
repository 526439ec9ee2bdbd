"""Which model a server loads: its architecture, its checkpoint's format, and how large that is."""

import re
from dataclasses import dataclass
from typing import Literal

from gke_llm_inference.catalog import GIB, Catalog, Model, ModelArchitecture
from gke_llm_inference.catalog.model_facts import Checkpoint, Task
from gke_llm_inference.catalog.preset_facts import CheckpointFormat
from gke_llm_inference.planning.checkpoint_size import checkpoint_gib
from gke_llm_inference.settings import Finding, ServerSettings, nearest

# Words of models for embeddings and ranking, whose config.json may be that of a generator.
_PURPOSES: dict[Task, str] = {
    "generate": "text",
    "embed": "embeddings",
    "rerank": "ranking",
    "classify": "classes",
}
_NOT_GENERATING = re.compile(
    r"^sentence-transformers/|/(?:.*[^a-z])?(?:embed(?:ding|dings|der)?|rerank(?:er|ing)?|reward|colbert|bge|gte)(?![a-z])",
    re.IGNORECASE,
)
# Counted shapes are exact but for buffers; scales of quantized weights depend on how they were made.
_EXACT_SHARE = 0.005
_QUANTIZED_SHARE = 0.05


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
        checkpoint_group_size: weights that share a scale, where they are fewer than usual.
        checkpoint_blockwise: whether every block of FP8 weights has a scale of its own.
        loaded_as: the class by which a server loads it; empty where that is not known.
        stated_gib: size of the checkpoint as its index states it; None where it is not known.

    """

    id: str
    architecture: ModelArchitecture
    family: str
    gated: bool
    checkpoint: CheckpointFormat
    checkpoint_bits: int | None = None
    checkpoint_type: Literal["float", "int"] = "float"
    checkpoint_group_size: int | None = None
    checkpoint_blockwise: bool = False
    loaded_as: str = ""
    stated_gib: float | None = None
    base: str = ""

    @property
    def checkpoint_gib(self) -> float:
        """Size of the checkpoint in GiB: what is downloaded and kept on disk."""
        return self.stated_gib or self.counted_gib

    @property
    def counted_gib(self) -> float:
        """Size of the checkpoint in GiB by the model's numbers."""
        return checkpoint_gib(self.architecture, self.checkpoint, self.checkpoint_bits, self.checkpoint_group_size)


def served_model(path: str, settings: ServerSettings, catalog: Catalog) -> tuple[ServedModel | None, list[Finding]]:
    """The model of a server, or why it is not known."""
    given = settings.architecture
    by_name = given is not None or settings.model not in catalog.models
    if by_name and not settings.pools and _NOT_GENERATING.search(settings.model):
        return None, [_not_generating(path, settings.model)]
    known = catalog.models.get(settings.model)
    if given is not None:
        gated = given.gated or (known is not None and known.gated)
        size = given.checkpoint_bytes
        described = ServedModel(
            settings.model,
            given,
            given.family,
            gated,
            given.checkpoint,
            given.checkpoint_bits,
            given.checkpoint_type,
            given.checkpoint_group_size,
            given.checkpoint_blockwise,
            known.loaded_as if known is not None else "",
            None if size is None else size / GIB,
        )
        return described, _size_problems(path, settings, described)
    if known is not None:
        problems = _task_problems(path, settings, known.task)
        return None if problems else _of_catalog(settings.model, known), problems
    checkpoint = catalog.checkpoints.get(settings.model)
    if checkpoint is not None:
        if problems := _task_problems(path, settings, catalog.models[checkpoint.base].task):
            return None, problems
        return _of_checkpoint(settings.model, checkpoint, catalog.models[checkpoint.base]), []
    unplanned = catalog.unplanned_models.get(settings.model)
    if unplanned is not None:
        return None, [
            Finding(
                path=f"{path}.model",
                what=f"{settings.model} has {unplanned.what}",
                why=unplanned.why,
                fix="use a model whose layers attend to all tokens through a KV cache",
            )
        ]
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


def _of_catalog(name: str, known: Model) -> ServedModel:
    return ServedModel(
        name,
        known,
        known.family,
        known.gated,
        known.checkpoint,
        checkpoint_blockwise=known.blockwise,
        loaded_as=known.loaded_as,
    )


def _of_checkpoint(name: str, checkpoint: Checkpoint, base: Model) -> ServedModel:
    return ServedModel(
        name,
        base,
        base.family,
        checkpoint.gated,
        checkpoint.format,
        checkpoint.bits,
        checkpoint_blockwise=checkpoint.blockwise,
        loaded_as=base.loaded_as,
        base=checkpoint.base,
    )


def _task_problems(path: str, settings: ServerSettings, task: Task) -> list[Finding]:
    """The problem of a server that is to do something else than its model is for."""
    if task == settings.task:
        return []
    if not settings.pools:
        return [_not_generating(path, settings.model, task)]
    return [
        Finding(
            path=f"{path}.task",
            what=f"{settings.model} is a model for {_PURPOSES[task]}, not for {_PURPOSES[settings.task]}",
            why="it was not trained for that, and what it would give means nothing",
            fix=f"{'remove task' if task == 'generate' else f'set task: {task}'}, or use another model",
        )
    ]


def _not_generating(path: str, name: str, task: Task | None = None) -> Finding:
    return Finding(
        path=f"{path}.model",
        what=f"{name} is a model for {_PURPOSES[task] if task else 'embeddings or ranking, by its name'}",
        why="a server generates text unless its task says otherwise",
        fix=f"set task: {task or 'embed, or task: rerank'}, or use a model that generates text",
    )


def _size_problems(path: str, settings: ServerSettings, model: ServedModel) -> list[Finding]:
    """What is wrong where the numbers of a model come to another size than its checkpoint has."""
    counted, stated = model.counted_gib, model.stated_gib
    share = _EXACT_SHARE if model.checkpoint == "none" else _QUANTIZED_SHARE
    if stated is None or abs(counted - stated) <= share * stated:
        return []
    of_file = settings.config_file is not None
    return [
        Finding(
            path=f"{path}.configFile" if of_file else f"{path}.architecture.checkpointBytes",
            what=f"its numbers come to {counted:.2f} GiB of weights, and the checkpoint has {stated:.2f}",
            why="the index of the checkpoint beside it says so, and both describe one model"
            if of_file
            else "both describe one model",
            fix="use the config.json and the index of one checkpoint, or give the numbers under architecture",
        )
    ]


def known_checkpoints(model: str, formats: tuple[CheckpointFormat, ...], catalog: Catalog) -> list[str]:
    """Ids of the catalog's checkpoints of a model in one of the formats, sorted."""
    return sorted(
        name
        for name, checkpoint in catalog.checkpoints.items()
        if checkpoint.base == model and checkpoint.format in formats
    )
