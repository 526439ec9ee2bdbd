"""How large a checkpoint's files are: what is downloaded, kept on disk and read.

That is not what its weights take once they are loaded: servers repack them, as Marlin kernels leave zero points out.
The bits of loaded weights are measured, and lie in the catalog.
"""

from gke_llm_inference.catalog import GIB, ModelArchitecture
from gke_llm_inference.catalog.preset_facts import CheckpointFormat

_EIGHT_BITS = 8.0
# Groups of 128 carry a 16-bit scale and a 4-bit zero point each: exact to 0.01 GiB for published AWQ and GPTQ files.
_FOUR_BITS = 4.15625
# A 32-bit scale for 64 weights, as bitsandbytes writes NF4 and FP4 unless it quantizes the scales too.
_BITSANDBYTES_BITS = 4.5


def checkpoint_gib(model: ModelArchitecture, checkpoint: CheckpointFormat, bits: int | None = None) -> float:
    """Size of a checkpoint's files in GiB.

    Embeddings, the output layer among them, and vision towers keep their precision in every format here.

    Args:
        model: the model's numbers.
        checkpoint: how its weights are quantized.
        bits: bits of a weight, where the format leaves that open.

    """
    linear_bits = _linear_bits(checkpoint, bits)
    if linear_bits is None:
        return model.weights_gib
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    kept = embeddings + model.unquantized_parameters
    own_bytes = model.weights_gib * GIB / model.parameters
    return (kept * own_bytes + (model.parameters - kept) * linear_bits / 8) / GIB


def _linear_bits(checkpoint: CheckpointFormat, bits: int | None) -> float | None:
    """Bits of a linear layer's weight in the files, scales included; None for the model's own precision."""
    match checkpoint:
        case "none":
            return None
        case "fp8":
            return _EIGHT_BITS
        case "compressed-tensors":
            return _FOUR_BITS if bits == 4 else _EIGHT_BITS
        case "gptq":
            return _EIGHT_BITS if bits == 8 else _FOUR_BITS
        case "bitsandbytes":
            return _BITSANDBYTES_BITS
        case "awq" | "squeezellm":
            return _FOUR_BITS
