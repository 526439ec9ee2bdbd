"""Extra arguments as the server's own parser reads them, and the settings that they override."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_snake

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.flags import ServerFlags
from gke_llm_inference.planning.versions import neighboring_versions
from gke_llm_inference.settings import ServerSettings

_UNITS = {letter: 1000 ** (power + 1) for power, letter in enumerate("kmgt")} | {
    letter: 1024 ** (power + 1) for power, letter in enumerate("KMGT")
}
_SCALED = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]?)")
_LONGEST_NUMBER = 15
_KV_CACHE_DTYPES = {
    "auto": "auto",
    "bfloat16": "auto",
    "float16": "auto",
    "fp8": "fp8_e4m3",
    "fp8_e4m3": "fp8_e4m3",
    "fp8_e4m3fn": "fp8_e4m3",
    "fp8_e5m2": "fp8_e5m2",
}
_SWITCHES = frozenset({"chunkedPrefill", "enforceEager", "prefixCaching"})
_SHARES = frozenset({"cudaMemoryFraction", "gpuMemoryUtilization"})
_TEXTS = frozenset({"attentionBackend", "loadFormat", "quantization", "revision", "servedModelName"})


class UnreadableError(ValueError):
    """A value that the server takes and the plan cannot count with."""


@dataclass(frozen=True)
class ExtraArgument:
    """One flag of `extraArgs`.

    Attributes:
        index: where it stands.
        texts: its part of the command line: `--flag`, `--flag=value`, or `--flag` and its values.
        name: long name of the flag; None where no version of the server has it.

    """

    index: int
    texts: tuple[str, ...]
    name: str | None

    @property
    def written(self) -> str:
        """The flag as it is written."""
        return self.texts[0].partition("=")[0]

    @property
    def key(self) -> str:
        """The key that it sets of a JSON flag; empty where it sets the whole."""
        return self.written.partition(".")[2]

    @property
    def value(self) -> str | None:
        """Its value, or its first one; None of a flag alone."""
        _, given, value = self.texts[0].partition("=")
        return value if given else self.texts[1] if len(self.texts) > 1 else None

    @property
    def is_off(self) -> bool:
        """Whether it switches something off, by the name that vLLM gives such a flag."""
        return (
            self.name is not None
            and self.written.replace("_", "-").startswith(("--no-", "--disable-"))
            and (self.written.replace("_", "-") != self.name)
        )


def read_extra(extra: Iterable[str], versions: Sequence[ServerFlags]) -> Iterator[ExtraArgument]:
    """Extra arguments, each with the values that stand after it.

    A flag that takes several values stands alone, and its values follow as arguments of their own.
    """
    texts = tuple(extra)
    index = 0
    while index < len(texts):
        text, end = texts[index], index + 1
        if text.startswith("--") and "=" not in text and any(flags.takes_several(text) for flags in versions):
            while end < len(texts) and not texts[end].startswith("-"):
                end += 1
        yield ExtraArgument(index, texts[index:end], long_name(text.partition("=")[0], versions))
        index = end


def arguments_named(
    names: Iterable[str], settings: ServerSettings, version: str, catalog: Catalog
) -> Iterator[ExtraArgument]:
    """Those of a server's extra arguments that set one of the flags, however they are written."""
    if settings.extra_args:
        wanted = frozenset(names)
        found = read_extra(settings.extra_args, flags_of(settings, version, catalog))
        yield from (one for one in found if one.name in wanted)


def long_name(flag: str, versions: Sequence[ServerFlags]) -> str | None:
    """Long name of a flag in the newest version that has it."""
    return next((known for flags in reversed(versions) if (known := flags.name_of(flag)) is not None), None)


def flags_of(settings: ServerSettings, version: str, catalog: Catalog) -> list[ServerFlags]:
    """Flags of the server's version, or of its neighbors, any of which may hold."""
    facts = catalog.servers[settings.server]
    return [catalog.flags[settings.server][known] for known in neighboring_versions(version, facts)]


def overridden(settings: ServerSettings, version: str, catalog: Catalog) -> ServerSettings:
    """The settings as extra arguments override them; what the plan cannot read is left as it is."""
    if not settings.extra_args:
        return settings
    names = catalog.effects.servers[settings.server].settings
    update: dict[str, Any] = {}
    for argument in read_extra(settings.extra_args, flags_of(settings, version, catalog)):
        setting = names.get(argument.name or "")
        if setting is None or argument.key or not argument.written.startswith("--"):
            continue
        try:
            update[to_snake(setting)] = setting_value(setting, argument)
        except UnreadableError:
            continue
    return settings.model_copy(update=update) if update else settings


def setting_value(setting: str, argument: ExtraArgument) -> Any:
    """What an argument sets a setting to.

    Raises:
        UnreadableError: the server takes the value, and the plan cannot count with it.

    """
    if setting in _SWITCHES:
        return _switched(argument)
    value = argument.value or ""
    if setting in _TEXTS:
        return value.upper() if setting == "attentionBackend" else value
    if setting == "kvCacheDtype":
        if value not in _KV_CACHE_DTYPES:
            raise UnreadableError(value)
        return _KV_CACHE_DTYPES[value]
    scaled = _SCALED.fullmatch(value.strip())
    if scaled is None or len(value) > _LONGEST_NUMBER or (scaled[2] and scaled[2] not in _UNITS):
        raise UnreadableError(value)
    if setting in _SHARES:
        return float(scaled[1])
    return int(float(scaled[1]) * _UNITS.get(scaled[2], 1))


def _switched(argument: ExtraArgument) -> bool:
    if argument.value is not None:
        return argument.value.lower() == "true"
    return not argument.is_off
