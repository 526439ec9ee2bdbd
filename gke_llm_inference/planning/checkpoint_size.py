"""How large a checkpoint's files are: what is downloaded, kept on disk and read.

That is not what its weights take once they are loaded: servers repack them, as Marlin kernels leave zero points out.
The bits of loaded weights are measured, and lie in the catalog.
"""

from gke_llm_inference.catalog import GIB, ModelArchitecture
from gke_llm_inference.catalog.preset_facts import CheckpointFormat

_EIGHT_BITS = 8.0
_USUAL_GROUP = 128
_SCALE_BITS = 20
# A scale of 8 bits for 32 weights (OCP Microscaling Formats).
_MXFP4_BITS = 4.25
# Groups of 128 carry a 16-bit scale and a 4-bit zero point each: exact to 0.01 GiB for published AWQ and GPTQ files.
_FOUR_BITS = 4.15625
# A scale of 8 bits for 16 weights: as many tensors as RedHatAI's NVFP4 checkpoints have by their headers.
_NVFP4_BITS = 4.5
# A 32-bit scale for 64 weights, as bitsandbytes writes NF4 and FP4 unless it quantizes the scales too.
_BITSANDBYTES_BITS = 4.5


def checkpoint_gib(
    model: ModelArchitecture, checkpoint: CheckpointFormat, bits: int | None = None, group_size: int | None = None
) -> float:
    """Size of a checkpoint's files in GiB.

    Embeddings, the output layer among them, and vision towers keep their precision in every format here.

    Args:
        model: the model's numbers.
        checkpoint: how its weights are quantized.
        bits: bits of a weight, where the format leaves that open.
        group_size: weights that share a scale, where they are fewer than usual.

    """
    own_bytes = model.weights_gib * GIB / model.parameters
    linear_bits = _linear_bits(checkpoint, bits)
    if linear_bits is None:
        return model.weights_gib + model.unloaded_parameters * own_bytes / GIB
    linear_bits += small_group_bits(group_size)
    embeddings = model.vocab_size * model.hidden_size * (1 if model.tied_embeddings else 2)
    kept = min(model.parameters, embeddings + model.unquantized_parameters)
    # Layers that predict further tokens hold copies of the embeddings and are quantized like the others.
    copies = min(model.unloaded_parameters, 2 * model.vocab_size * model.hidden_size)
    quantized = model.parameters - kept + model.unloaded_parameters - copies
    return ((kept + copies) * own_bytes + quantized * linear_bits / 8) / GIB


def small_group_bits(group_size: int | None) -> float:
    """What a weight takes beside the usual, in bits, where fewer weights than usual share a scale and a zero point."""
    return _SCALE_BITS * (1 / group_size - 1 / _USUAL_GROUP) if group_size and group_size < _USUAL_GROUP else 0.0


def _linear_bits(checkpoint: CheckpointFormat, bits: int | None) -> float | None:
    """Bits of a linear layer's weight in the files, scales included; None for the model's own precision."""
    match checkpoint:
        case "none":
            return None
        case "fp8" | "fbgemm":
            return _EIGHT_BITS
        case "compressed-tensors":
            return _FOUR_BITS if bits == 4 else _EIGHT_BITS
        case "gptq":
            return _EIGHT_BITS if bits == 8 else _FOUR_BITS
        case "bitsandbytes":
            return _EIGHT_BITS if bits == 8 else _BITSANDBYTES_BITS
        case "mxfp4":
            return _MXFP4_BITS
        case "nvfp4":
            return _NVFP4_BITS
        case "awq" | "squeezellm":
            return _FOUR_BITS
