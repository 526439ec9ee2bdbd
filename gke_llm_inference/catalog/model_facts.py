"""The shape of facts about models: the ones that people serve, their quantized checkpoints, and what is not planned."""

from typing import Any, Literal

from gke_llm_inference.catalog.facts import Facts, ModelArchitecture, Positive
from gke_llm_inference.catalog.files import directory, read
from gke_llm_inference.catalog.preset_facts import CheckpointFormat

Task = Literal["generate", "embed", "rerank", "classify"]
"""What a model is for, and what a server does with it."""


class Model(ModelArchitecture):
    """A model of the catalog."""

    source: str
    """Where its numbers are from."""
    date: str
    """When they were read."""
    family: str
    task: Task = "generate"
    loaded_as: str
    """The class by which a server loads it (the first of architectures)."""
    active_parameters: Positive | None = None
    """Parameters that one token visits; all of them where there are no experts."""
    checkpoint: CheckpointFormat = "none"
    """How the weights of its own repository are quantized."""
    blockwise: bool = False
    """Whether every block of its FP8 weights has a scale of its own."""
    license: str | None
    """The license as its page names it; None where no source says it."""
    gated: bool
    """Whether Hugging Face asks for a token of an account that accepted the license."""
    chat_template: bool | None
    """Whether its tokenizer has a chat template, without which chats are refused; None where no source says it."""

    def described(self) -> dict[str, Any]:
        """The model as a stack describes one under `architecture`."""
        names = {*ModelArchitecture.model_fields, "family", "gated", "checkpoint"}
        return self.model_dump(by_alias=True, exclude_none=True, include=names)


class Checkpoint(Facts):
    """A quantized checkpoint of a model of the catalog."""

    base: str
    """Id of the model that it was made from."""
    format: CheckpointFormat
    bits: Literal[4, 8] | None = None
    """Bits of a linear layer's weight, where the format does not say it."""
    blockwise: bool = False
    """Whether every block of FP8 weights has a scale of its own."""
    gated: bool


class UnplannedModel(Facts):
    """A model that people serve and whose plan would be wrong."""

    source: str
    date: str
    what: str
    """What it has that is not planned."""
    why: str


def read_models() -> dict[str, Any]:
    """Models, checkpoints and models that are not planned, from the files of every family, in the files' order.

    Raises:
        ValueError: an id stands in two files.

    """
    found: dict[str, dict[str, Any]] = {"models": {}, "checkpoints": {}, "unplannedModels": {}}
    for path in sorted(directory("models").glob("*.yaml")):
        document = read(path)
        for kind, entries in found.items():
            own = document.get(kind, {})
            if twice := sorted(own.keys() & entries.keys()):
                raise ValueError(f"{path.name} has {', '.join(twice)} again")
            entries |= own
    return found
