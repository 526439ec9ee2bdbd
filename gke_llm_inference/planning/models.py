"""Which model a server loads: its architecture, its checkpoint's format, and how much its weights weigh."""

from dataclasses import dataclass
from typing import Literal

from gke_llm_inference.catalog import GIB, Catalog, ModelArchitecture
from gke_llm_inference.catalog.preset_facts import CheckpointFormat
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings, nearest

# Bits of one weight of a linear layer; 4 bits in groups of 128 carry a 16-bit scale and a 4-bit zero point each,
# which is exact to 0.01 GiB for published AWQ and GPTQ checkpoints. NF4 and FP4 carry a scale for 64 weights.
_LINEAR_BITS = {
    "awq": 4.15625,
    "gptq": 4.15625,
    "squeezellm": 4.15625,
    "bitsandbytes": 4.25,
    "bitsandbytes-nf4": 4.25,
    "bitsandbytes-fp4": 4.25,
    "fp8": 8.0,
    "eetq": 8.0,
}
_EIGHT_BITS = 8.0
_FOUR_BITS = 4.15625


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
        return weights_gib(self.architecture, _bits(self.checkpoint, self.checkpoint_bits))

    def loaded_gib(self, quantization: str | None, server: str) -> float:
        """Size of the weights on the GPUs in GiB, once loaded with a server's quantisation.

        TGI's `bitsandbytes` has 8 bits, vLLM's has 4.
        """
        if self.checkpoint != "none" or quantization is None:
            return self.checkpoint_gib
        bits = _EIGHT_BITS if (quantization, server) == ("bitsandbytes", "tgi") else _bits(quantization, None)
        return weights_gib(self.architecture, bits)

    def load_peak_gib(self, quantization: str | None, server: str, version: str) -> float:
        """Memory in GiB that the weights take on the GPUs at most, while they are loaded.

        vLLM before 0.19 loads the whole model at its own precision before it quantises to FP8.
        """
        whole_first = server == "vllm" and quantization == "fp8" and version_parts(version) < (0, 19)
        return self.checkpoint_gib if whole_first else self.loaded_gib(quantization, server)


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
            f"{path}.model",
            f"{settings.model} is not in the catalogue",
            "without the model's numbers nothing about it can be planned",
            (f"did you mean {meant}? Otherwise " if meant else "")
            + f"describe it under {path}.architecture, or name its config.json under {path}.configFile",
        )
    ]


def known_checkpoints(model: str, formats: tuple[CheckpointFormat, ...], catalog: Catalog) -> list[str]:
    """Ids of the catalogue's checkpoints of a model in one of the formats, sorted."""
    return sorted(
        name
        for name, checkpoint in catalog.checkpoints.items()
        if checkpoint.base == model and checkpoint.format in formats
    )


def weights_gib(model: ModelArchitecture, linear_bits: float | None) -> float:
    """Size of a model's weights in GiB with linear layers of `linear_bits`; None for its own precision.

    Embeddings, the output layer among them, and vision towers keep their precision in every format here.
    """
    if linear_bits is None:
        return model.weights_gib
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    kept = embeddings + model.unquantized_parameters
    own_bytes = model.weights_gib * GIB / model.parameters
    return (kept * own_bytes + (model.parameters - kept) * linear_bits / 8) / GIB


def _bits(name: str, given: int | None) -> float | None:
    if name == "compressed-tensors":
        return _FOUR_BITS if given == 4 else _EIGHT_BITS
    if name == "gptq" and given == _EIGHT_BITS:
        return _EIGHT_BITS
    return _LINEAR_BITS.get(name)
