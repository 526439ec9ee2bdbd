"""Whether a server version loads a model: its class, and its checkpoint's format on the GPU."""

from collections.abc import Iterator

from packaging.version import Version

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.loading_facts import LoadedClass, ServerLoading
from gke_llm_inference.planning.models import ServedModel
from gke_llm_inference.settings import Finding, ServerSettings

_BLOCKS = "fp8-blocks"
_TITLES = {_BLOCKS: "FP8 by blocks", "fp8": "FP8", "fbgemm": "FBGEMM's FP8", "mxfp4": "MXFP4", "nvfp4": "NVFP4"}


def class_of(loading: ServerLoading, loaded_as: str, family: str) -> LoadedClass | None:
    """Versions that have a class for a model; None where none has."""
    return loading.classes.get(family if loading.by_type else loaded_as)


def class_problems(
    path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog
) -> Iterator[Finding]:
    """Why a version would not load a model for want of its class, as far as the version's own code was looked at.

    Args:
        path: where the server stands in the configuration.
        settings: its settings with presets applied.
        version: version of the server.
        model: the model that it loads.
        catalog: the facts to decide by.

    """
    loading = catalog.loading[settings.server]
    if not model.loaded_as or Version(version) < Version(loading.oldest):
        return
    known = class_of(loading, model.loaded_as, model.family)
    if known is not None and known.has(version):
        return
    where = "image" if settings.image is not None else "version"
    name = model.family if loading.by_type else model.loaded_as
    if known is None:
        fix = "use another server, such as vllm" if settings.server == "tgi" else "use another model"
    elif known.until is not None and Version(version) > Version(known.until):
        fix = f"use {known.until} or older"
    else:
        fix = f"use {known.since} or newer"
    yield Finding(
        path=f"{path}.{where}",
        what=f"{settings.server} {version} has no class of its own for {name}",
        why=f"{model.id} is loaded by that class; what runs in its place is not planned",
        fix=fix,
    )


def format_problems(
    path: str, settings: ServerSettings, version: str, model: ServedModel, catalog: Catalog
) -> Iterator[Finding]:
    """Why a version would not load a checkpoint's format on the server's GPU. The arguments are as above."""
    loading, gpu = catalog.loading[settings.server], settings.accelerator.type
    name = _BLOCKS if model.checkpoint == "fp8" and model.checkpoint_blockwise else model.checkpoint
    looked_at = Version(version) >= Version(loading.oldest)
    if not looked_at or name not in loading.formats or gpu not in catalog.accelerators:
        return
    where = f"{path}.configFile" if settings.config_file is not None else f"{path}.model"
    needed = loading.format_since(name, version)
    if needed is None:
        yield Finding(
            path=where,
            what=f"{settings.server} {version} does not load {_TITLES[name]}",
            why=f"{loading.formats[name][0].since} is the first version that does",
            fix=f"use {loading.formats[name][0].since} or newer, or a checkpoint of the model in another format",
        )
        return
    capability = catalog.accelerators[gpu].compute_capability
    if Version(capability) < Version(needed.compute_capability):
        later = next(
            (
                one.since
                for one in loading.formats[name]
                if Version(one.since) > Version(version) and Version(one.compute_capability) <= Version(capability)
            ),
            None,
        )
        yield Finding(
            path=f"{path}.accelerator.type",
            what=f"{_TITLES[name]} needs a GPU of compute capability {needed.compute_capability} "
            f"with {settings.server} {version}",
            why=f"{gpu} has {capability}",
            fix=(f"use {settings.server} {later} or newer, " if later else "use ")
            + "another GPU, or a checkpoint of the model in another format",
        )
    if needed.flag and not any(text.partition("=")[0] == needed.flag for text in settings.extra_args):
        yield Finding(
            path=where,
            what=f"{settings.server} {version} refuses {_TITLES[name]} as deprecated",
            why=f"it stops at start without {needed.flag}",
            fix=f"add {needed.flag} to extraArgs, or use a checkpoint of the model in another format",
        )
