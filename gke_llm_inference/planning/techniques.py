"""What a technique's preset does on a server, version, model and GPU, by the rules of the catalog."""

from functools import lru_cache

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gke_llm_inference.catalog import Catalog, ServerKind
from gke_llm_inference.catalog.preset_facts import PresetNeeds, PresetRule, Technique
from gke_llm_inference.planning.models import ServedModel, known_checkpoints
from gke_llm_inference.settings import Finding


def rule_of(preset: Technique, server: ServerKind, version: str, model: ServedModel) -> PresetRule | None:
    """The rule of a technique that holds for a server, version and model; None where the catalog has none."""

    def holds(rule: PresetRule) -> bool:
        return (
            (not rule.versions or _is_among(version, rule.versions))
            and (not rule.families or model.family in rule.families)
            and (not rule.checkpoints or model.checkpoint in rule.checkpoints)
        )

    return next((rule for rule in preset.rules(server) if holds(rule)), None)


def usable_rule(
    name: str, server: ServerKind, version: str, model: ServedModel, gpu: str, catalog: Catalog
) -> PresetRule | None:
    """The rule of a technique that may be chosen without being asked for; None where it is refused or has a risk."""
    preset = catalog.presets.get(name)
    if not isinstance(preset, Technique) or unmet_need("", name, preset.needs, model, gpu, catalog):
        return None
    rule = rule_of(preset, server, version, model)
    return rule if rule is not None and rule.refused is None and rule.risk is None else None


def unmet_need(
    where: str, name: str, needs: PresetNeeds, model: ServedModel, gpu: str, catalog: Catalog
) -> Finding | None:
    """What a technique needs of checkpoint and GPU and does not find; None where nothing is missing.

    Args:
        where: path of the preset in the configuration.
        name: the preset's name.
        needs: what it needs.
        model: the model that is loaded.
        gpu: GKE's name of the GPU.
        catalog: the facts to decide by.

    """
    if needs.checkpoint and model.checkpoint not in needs.checkpoint:
        if model.checkpoint != "none":
            return Finding(
                path=where,
                what=f"{name} cannot be used with {model.id}, whose weights are {model.checkpoint} already",
                why="weights are quantized once",
                fix=f"leave {name} out, or use the model at its own precision",
            )
        proposals = known_checkpoints(model.id, needs.checkpoint, catalog)
        return Finding(
            path=where,
            what=f"{name} needs a pre-quantized checkpoint, and {model.id} is not one",
            why="this method cannot quantize while loading",
            fix=f"set model to {' or '.join(proposals)}"
            if proposals
            else "the catalog has no such checkpoint of it; quantize one, or use a preset such as fp8 that needs none",
        )
    accelerator = catalog.accelerators.get(gpu)
    if needs.compute_capability and accelerator is not None:
        capability = accelerator.compute_capability
        if Version(capability) < Version(needs.compute_capability):
            return Finding(
                path=where,
                what=f"{name} needs a GPU of compute capability {needs.compute_capability}",
                why=f"{gpu} has {capability}",
                fix="use a newer GPU, such as nvidia-l4, or leave the preset out",
            )
    return None


@lru_cache(maxsize=4096)
def _is_among(version: str, specifier: str) -> bool:
    return Version(version) in SpecifierSet(specifier)
