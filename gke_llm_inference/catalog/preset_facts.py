"""The shape of presets: what each sets on which server and version, what it needs, and what it costs."""

from typing import Annotated, Any, Literal

from pydantic import Field

from gke_llm_inference.catalog.facts import Facts, ServerKind
from gke_llm_inference.catalog.files import directory, read

CheckpointFormat = Literal[
    "none",
    "awq",
    "gptq",
    "fp8",
    "compressed-tensors",
    "squeezellm",
    "bitsandbytes",
    "mxfp4",
    "nvfp4",
    "fbgemm",
]
"""How a checkpoint's weights are quantized; `none` for one at its own precision."""


class Refused(Facts):
    """Why a preset cannot be used, and what to do instead."""

    why: str
    instead: str


class Risk(Facts):
    """What a preset may bring about, why, and the way around it."""

    what: str
    why: str
    fix: str


class PresetRule(Facts):
    """What a preset does under conditions; the first rule whose conditions all hold is taken."""

    versions: str = ""
    """Server versions, as a PEP 440 specifier; any if empty."""
    families: tuple[str, ...] = ()
    """Model families; any if empty."""
    checkpoints: tuple[CheckpointFormat, ...] = ()
    """Checkpoint formats; any if empty."""
    settings: dict[str, Any] = {}
    """Settings of the server, by their keys, that the preset gives unless the stack does."""
    note: str = ""
    """What the user should know about it."""
    refused: Refused | None = None
    """Set where the preset cannot be used."""
    risk: Risk | None = None
    """Set where the preset works but with a risk."""


class PresetNeeds(Facts):
    """What must be so before a preset makes sense."""

    checkpoint: tuple[CheckpointFormat, ...] = ()
    """Formats of the checkpoint; any if empty."""
    compute_capability: str = ""
    """Lowest CUDA compute capability; any if empty."""


class _Preset(Facts):
    summary: str
    slot: str
    """What it decides on; two presets of one slot exclude each other."""
    costs: str
    """What is given up for it."""
    source: str


class Technique(_Preset):
    """One optimization."""

    kind: Literal["technique"]
    needs: PresetNeeds = PresetNeeds()
    vllm: Annotated[tuple[PresetRule, ...], Field(min_length=1)]
    tgi: Annotated[tuple[PresetRule, ...], Field(min_length=1)]

    def rules(self, server: ServerKind) -> tuple[PresetRule, ...]:
        """Rules for a server, in the order in which they are tried."""
        return self.vllm if server == "vllm" else self.tgi


class Goal(_Preset):
    """What to optimize for: a search chooses GPUs, weights and limits that the stack leaves open."""

    kind: Literal["goal"]


Preset = Annotated[Technique | Goal, Field(discriminator="kind")]


class _Entry(Facts):
    preset: Preset


def read_presets() -> dict[str, Technique | Goal]:
    """Read all presets, by name, sorted.

    Raises:
        pydantic.ValidationError: a file does not have the shape that is stated here.

    """
    return {
        path.stem: _Entry.model_validate({"preset": read(path)}).preset
        for path in sorted(directory("presets").glob("*.yaml"))
    }
