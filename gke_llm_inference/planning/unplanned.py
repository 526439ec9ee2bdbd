"""Which extra arguments and variables of a server change what its plan does not model, by the catalog's classes."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.effects import Amount, ChangesGroup
from gke_llm_inference.catalog.flags import Flag, ServerFlags
from gke_llm_inference.planning.extra import ExtraArgument, flags_of, read_extra
from gke_llm_inference.planning.memory.request import Unplanned
from gke_llm_inference.settings import ServerSettings

_KV_CACHE_BYTES = "--kv-cache-memory-bytes"
_ADAPTERS = (("--max-loras", 1), ("--max-lora-rank", 16))
_BYTES: dict[str, int] = {"": 1} | {letter: 1024 ** (power + 1) for power, letter in enumerate("KMGT")}
_BYTES |= {letter: 1000 ** (power + 1) for power, letter in enumerate("kmgt")}
_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([A-Za-z]?)")
# A variable that begins so is read by the server; one that the catalog does not know may do anything.
_OWN_PREFIX = {"vllm": "VLLM_", "tgi": "TGI_"}
_UNKNOWN = ChangesGroup(
    names=(),
    what="is not a variable that the catalog knows",
    at_least=Amount(mib=-512),
    at_most=Amount(activation=1.0, mib=1024),
)


def unplanned(path: str, settings: ServerSettings, version: str, catalog: Catalog) -> tuple[Unplanned, ...]:
    """What a server's extra arguments and variables change beyond its plan."""
    if not settings.extra_args and not settings.extra_env:
        return ()
    return (*_of_arguments(path, settings, version, catalog), *_of_variables(path, settings, catalog))


def kv_cache_mib(settings: ServerSettings, version: str, catalog: Catalog) -> float | None:
    """Size of the KV cache of each GPU that an extra argument states, in MiB."""
    if not settings.extra_args:
        return None
    found = read_extra(settings.extra_args, flags_of(settings, version, catalog))
    value = next((one.value for one in found if one.name == _KV_CACHE_BYTES), None)
    number = _NUMBER.fullmatch(value or "")
    if number is None or number[2] not in _BYTES:
        return None
    return float(number[1]) * _BYTES[number[2]] / 2**20


def changes_nothing(argument: ExtraArgument, flag: Flag) -> bool:
    """Whether a flag is switched off, or has the value that the server takes without it."""
    if flag.type == "boolean" and argument.value is None:
        return argument.is_off if flag.default in (None, False) else not argument.is_off
    return argument.value is not None and not argument.key and _same(argument.value, flag.default)


def _of_arguments(path: str, settings: ServerSettings, version: str, catalog: Catalog) -> Iterator[Unplanned]:
    versions = flags_of(settings, version, catalog)
    groups = catalog.effects.servers[settings.server].changes
    changes = {name: group for group in groups for name in group.names}
    found = list(read_extra(settings.extra_args, versions))
    for argument in found:
        group = changes.get(argument.name or "")
        if group is None or not group.concerns(argument.value):
            continue
        flag = _newest(argument.name or "", versions)
        if flag is not None and changes_nothing(argument, flag):
            continue
        default = flag.default if flag is not None else None
        yield _unplanned(
            f"{path}.extraArgs[{argument.index}]",
            argument.name or "",
            group,
            argument.value,
            adapters=_adapters(found) if group.at_most.lora else 0,
            default=default if isinstance(default, int | float) else 0,
        )


def _of_variables(path: str, settings: ServerSettings, catalog: Catalog) -> Iterator[Unplanned]:
    own, common = catalog.effects.variables(settings.server)
    for name, value in sorted(settings.extra_env.items()):
        group = own.change(name) if own.knows(name) else common.change(name)
        if group is None and name.startswith(_OWN_PREFIX[settings.server]) and not own.knows(name):
            group = _UNKNOWN
        if group is not None and group.concerns(value):
            yield _unplanned(f"{path}.extraEnv.{name}", name, group, value)


def _unplanned(
    path: str, name: str, group: ChangesGroup, value: str | None, *, adapters: int = 0, default: float = 0
) -> Unplanned:
    number = _number(value)
    return Unplanned(
        path=path,
        name=name,
        what=group.what,
        at_least=group.at_least,
        at_most=group.at_most,
        value=number,
        adapters=adapters,
        host_mib=max(0.0, number - default) * group.host_per_unit,
    )


def _adapters(found: Sequence[ExtraArgument]) -> int:
    """Ranks of all adapters that are loaded at once."""
    values = {one.name: _number(one.value) for one in found}
    most = 1
    for name, default in _ADAPTERS:
        most *= int(values.get(name) or default)
    return most


def _newest(name: str, versions: Sequence[ServerFlags]) -> Flag | None:
    return next((flag for flags in reversed(versions) if (flag := flags.find(name)) is not None), None)


def _same(value: str, default: Any) -> bool:
    if default is None or isinstance(default, bool | dict | list):
        return False
    if isinstance(default, int | float):
        number = _NUMBER.fullmatch(value)
        return number is not None and not number[2] and float(number[1]) == default
    return value == str(default)


def _number(value: str | None) -> float:
    """The number that a value is; 0 where it is none, or beyond what memory can be."""
    number = _NUMBER.fullmatch(value or "")
    return float(number[1]) if number is not None and not number[2] else 0.0
