"""What a stack states of a server, by the keys of its settings, and the settings with more of them given."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic.alias_generators import to_snake

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.preset_facts import Goal
from gke_llm_inference.settings import ServerSettings

_field = lru_cache(maxsize=1024)(to_snake)


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by key, those of an inner mapping as `outer.inner`."""
    return {
        f"{key}.{inner}" if inner else key: value
        for key, nested in values.items()
        for inner, value in (nested.items() if isinstance(nested, dict) else (("", nested),))
    }


def is_explicit(settings: ServerSettings, key: str) -> bool:
    """Whether the settings state a key, such as `accelerator.count`, rather than leave it open."""
    outer, _, inner = key.partition(".")
    if _field(outer) not in settings.model_fields_set:
        return False
    return not inner or _field(inner) in getattr(settings, _field(outer)).model_fields_set


def current(settings: ServerSettings, key: str) -> Any:
    """The value of a key, stated or not."""
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, _field(part))
    return value


def asked_goals(settings: ServerSettings, catalog: Catalog) -> Iterator[tuple[int, str]]:
    """The goals among a server's presets, each with its place there."""
    for index, name in enumerate(settings.presets):
        if isinstance(catalog.presets.get(name), Goal):
            yield index, name


def merged(settings: ServerSettings, values: Mapping[str, Any]) -> ServerSettings:
    """The settings with values given by key; a GPU's type does away with what the stack says of another's."""
    update: dict[str, Any] = {_field(key): value for key, value in values.items() if "." not in key}
    accelerator = {
        _field(key.removeprefix("accelerator.")): value
        for key, value in values.items()
        if key.startswith("accelerator.")
    }
    if accelerator:
        update["accelerator"] = settings.accelerator.model_copy(update={"choices": (), **accelerator})
    return settings.model_copy(update=update)
