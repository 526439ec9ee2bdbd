"""Parts of a request's model whose memory was not measured: what makes its plan an estimate."""

from collections.abc import Iterator

from gke_llm_inference.catalog import ModelArchitecture
from gke_llm_inference.catalog.memory_facts import MemoryFacts, UnmeasuredPart
from gke_llm_inference.planning.memory.request import MemoryRequest, Unplanned, format_name
from gke_llm_inference.planning.memory.sharding import text_parameters
from gke_llm_inference.planning.versions import version_parts

# More parameters than the language model's shapes account for, as a multiple: a vision tower that is not stated.
_MORE_THAN_TEXT = 1.01
# Not known of older versions: 0.10.0 has no _mark_tower_model, 0.18.0 has --language-model-only.
_SKIPS_TOWERS = (0, 18, 0)


def sees(given: ModelArchitecture) -> bool:
    """Whether a model has a vision tower, stated or not."""
    return given.vision_parameters > 0 or given.parameters > _MORE_THAN_TEXT * text_parameters(given)


def unmeasured_parts(request: MemoryRequest, facts: MemoryFacts) -> tuple[Unplanned, ...]:
    """What the model or the format of a request has that was not measured, each with its bounds."""
    return tuple(
        Unplanned(
            path=f"{request.path}.model",
            name=part.name,
            what=part.what,
            at_least=part.at_least,
            at_most=part.at_most,
            of_model=True,
        )
        for part in _parts(request, facts)
    )


def _parts(request: MemoryRequest, facts: MemoryFacts) -> Iterator[UnmeasuredPart]:
    given, known = request.architecture, facts.unmeasured.parts
    if given.experts:
        yield known.experts
    if given.encoder_only:
        yield known.encoder
    if given.latent_width:
        yield known.latent_attention
    if sees(given):
        runs = not request.text_only or version_parts(request.version) < _SKIPS_TOWERS
        yield known.vision if runs else known.no_images
    if request.draft:
        yield known.draft
    match format_name(request.weights_format):
        case "nvfp4":
            yield known.nvfp4
        case "mxfp4":
            yield known.mxfp4
