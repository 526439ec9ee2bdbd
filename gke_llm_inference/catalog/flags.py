"""The flags that each version of a server takes, and whether an argument fits them.

One file per version in `servers/flags/`: vLLM's are made by `tools/extract_vllm_flags.py`, TGI's are written by hand
from its launcher. A file is read when its version is asked for.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from packaging.version import Version

from gke_llm_inference.catalog.facts import Facts, ServerKind
from gke_llm_inference.catalog.files import directory, read

_DIRECTORY = directory("servers") / "flags"
_TITLES: dict[ServerKind, str] = {"vllm": "vLLM", "tgi": "TGI"}

FlagType = Literal["text", "integer", "number", "boolean", "json", "list"]
ItemType = Literal["text", "integer", "number"]


class Flag(Facts):
    """One flag of a server: what its value may be and how else it can be written."""

    type: FlagType
    """Kind of value; a boolean flag takes none, unless `value` says otherwise."""
    items: ItemType | None = None
    """Kind of each item of a list."""
    choices: tuple[str | int, ...] = ()
    """The only values, of the whole or of each item; empty where any value of the type is taken."""
    known: tuple[str, ...] = ()
    """Values that the server has names for, where it takes others too."""
    optional: bool = False
    """Whether an empty value, or None, stands for no value."""
    any_case: bool = False
    """Whether values may be written in capitals or not, with dashes or underscores."""
    words: tuple[str, ...] = ()
    """Words that are taken besides values of the type or the choices."""
    suffixes: str = ""
    """Letters that may follow a whole number, such as k for thousands and K for 1,024."""
    json_object: bool = False
    """Whether JSON has to be an object, or a text may also be one, given as a whole or key by key."""
    plugins: bool = False
    """Whether a plugin of the server can add choices."""
    repeats: bool = False
    """Whether a list is written as the flag again and again, each time with one value; else the last flag counts."""
    form: Literal["module", "moduleOnce"] | None = None
    """Set where each item is name=path or JSON of a module; `moduleOnce` has = no second time."""
    separator: str | None = None
    """What stands between the items of a list that is written as one value."""
    minimum: int | None = None
    """The smallest whole number that is taken."""
    maximum: int | None = None
    """The largest whole number that is taken."""
    value: Literal["optional", "required"] | None = None
    """Set where the flag may stand without a value, or a boolean flag takes one."""
    default: Any = None
    """What the server takes without the flag; None where that is nothing, or computed when the server starts."""
    aliases: tuple[str, ...] = ()
    """Other ways to write the flag, short ones too."""
    negated: tuple[str, ...] = ()
    """Flags that switch a boolean flag off."""
    deprecated: str | None = None
    """What the server's makers say where the flag should no longer be used."""


class ServerFlags(Facts):
    """All flags of one version of a server."""

    server: ServerKind
    version: str
    source: str
    date: str
    flags: dict[str, Flag]
    """By long name, sorted."""

    @property
    def title(self) -> str:
        """Server and version, as messages name them."""
        return f"{_TITLES[self.server]} {self.version}"

    def find(self, argument_name: str) -> Flag | None:
        """The flag that `argument_name` stands for: by its long name, another name, or the name that switches it off.

        vLLM reads underscores in a name as dashes, and `--flag.key` as a key of a JSON flag.
        """
        entry = self._lookup(argument_name)
        return entry[1] if entry else None

    def name_of(self, argument_name: str) -> str | None:
        """Long name of the flag that `argument_name` stands for."""
        entry = self._lookup(argument_name)
        return entry[0] if entry else None

    def check(self, argument: str) -> str | None:
        """What is wrong with `--flag=value` or `--flag`, in words; None if this version takes it."""
        if re.fullmatch(r"-O=?\d", argument) and self._takes_levels:
            return None
        name, given, value = argument.partition("=")
        entry = self._lookup(name)
        if entry is None:
            return self._unknown(name)
        flag = entry[1]
        written = self._normalised(name)
        if "." in written and written not in self._names:
            return None if given else f"{name} needs a value: {name}=…"
        if not given:
            return self._check_bare(name, flag)
        if written in flag.negated or (flag.type == "boolean" and flag.value is None):
            return f"{name} takes no value, but has {value!r}"
        wrong = _wrong_value(flag, value)
        return None if wrong is None else f"{name}={value}: {value!r} is {wrong} in {self.title}"

    def takes_several(self, argument: str) -> bool:
        """Whether `--flag` stands alone, with its values as arguments of their own after it."""
        entry = self._lookup(argument)
        return entry is not None and entry[1].type == "list" and not entry[1].repeats and not entry[1].separator

    def repeats(self, argument_name: str) -> bool:
        """Whether a flag may stand several times."""
        entry = self._lookup(argument_name)
        return entry is not None and entry[1].repeats

    def check_several(self, name: str, values: Sequence[str]) -> str | None:
        """What is wrong with a flag whose values stand after it, in words; None if this version takes it."""
        if not self.takes_several(name) or not values:
            return self.check(name)
        flag = self._lookup(name)
        wrong = ((value, _wrong_value(flag[1], value)) for value in values if flag)
        return next((f"{name} {value}: {value!r} is {text} in {self.title}" for value, text in wrong if text), None)

    @cached_property
    def _names(self) -> dict[str, str]:
        spellings = {other: name for name, flag in self.flags.items() for other in (*flag.aliases, *flag.negated)}
        return {**spellings, **{name: name for name in self.flags}}

    @property
    def _takes_levels(self) -> bool:
        # vLLM reads -O2 and -O=2 as a level, wherever the flag for it is.
        return self.server == "vllm" and ("-O" in self._names or "--optimization-level" in self.flags)

    @property
    def _takes_keys(self) -> bool:
        # vLLM's parser reads --flag.key since 0.9.
        return self.server == "vllm" and Version(self.version) >= Version("0.9")

    def _lookup(self, name: str) -> tuple[str, Flag] | None:
        written = self._normalised(name)
        names = self._names
        if written in names:
            return names[written], self.flags[names[written]]
        whole, dot, _ = written.partition(".")
        if dot and whole in names and self._takes_keys:
            flag = self.flags[names[whole]]
            if flag.type == "json" or flag.json_object:
                return names[whole], flag
        return None

    def _normalised(self, name: str) -> str:
        if self.server != "vllm" or not name.startswith("--"):
            return name
        whole, dot, keys = name.partition(".")
        return "--" + whole[2:].replace("_", "-") + dot + keys

    def _unknown(self, name: str) -> str:
        if not name.startswith("-"):
            return f"{name!r} is not a flag: a flag starts with --"
        whole, dot, _ = self._normalised(name).partition(".")
        if dot and whole in self._names and self._takes_keys:
            return f"{name} sets a key, but {whole} of {self.title} is not JSON"
        near = difflib.get_close_matches(self._normalised(name), sorted(self._names), n=1, cutoff=0.75)
        return f"{name} is not a flag of {self.title}" + (f"; the nearest is {near[0]}" if near else "")

    def _check_bare(self, name: str, flag: Flag) -> str | None:
        if flag.value == "optional" or (flag.type == "boolean" and flag.value is None):
            return None
        expected = " | ".join(map(str, flag.choices)) if flag.choices else _EXPECTED[flag.items or flag.type]
        return f"{name} needs a value: {expected}"


def _wrong_value(flag: Flag, value: str) -> str | None:
    """What is wrong with a whole value, as the end of a sentence."""
    if value.lower() in flag.words or value == flag.default or (flag.optional and value in ("", "None")):
        return None
    if flag.type == "boolean":
        return None if (value.lower() if flag.any_case else value) in ("true", "false") else "not true or false"
    if flag.type == "json":
        return _wrong_json(value, flag.suffixes, is_object=flag.json_object)
    if flag.type == "list":
        parts = value.split(flag.separator) if flag.separator else [value]
        return next((wrong for part in parts if (wrong := _wrong_item(flag, flag.items or "text", part))), None)
    if flag.json_object and re.match(r"\s*{", value):
        return _wrong_json(value, flag.suffixes, is_object=True)
    return _wrong_item(flag, flag.type, value)


def _wrong_item(flag: Flag, kind: str, value: str) -> str | None:
    number: float | None = None
    if flag.form is not None:
        return _wrong_module(flag.form, value)
    if kind == "integer":
        number = _whole_number(value, flag.suffixes)
        if number is None:
            return "not a whole number"
    elif kind == "number":
        number = _number(value)
        if number is None:
            return "not a number"
    if flag.choices and not _is_choice(flag, value if number is None else number):
        listed = ", ".join(map(str, flag.choices))
        return f"not among {listed}" + (", nor from a plugin," if flag.plugins else "")
    if number is not None and flag.minimum is not None and number < flag.minimum:
        return f"less than {flag.minimum}, the least"
    if number is not None and flag.maximum is not None and number > flag.maximum:
        return f"more than {flag.maximum}, the most"
    return None


def _wrong_module(form: str, value: str) -> str | None:
    """What is wrong with a module: name=path, else JSON with both, as vLLM's LoRAParserAction reads it."""
    if value == "":
        return None
    if "=" in value and "," not in value:
        return "not one name and one path" if form == "moduleOnce" and value.count("=") > 1 else None
    try:
        document = json.loads(value)
    except json.JSONDecodeError:
        return "neither name=path nor JSON; each module is an argument of its own"
    if not isinstance(document, dict) or not {"name", "path"} <= set(document):
        return "not a JSON object with name and path"
    return None


def _is_choice(flag: Flag, value: str | float) -> bool:
    if flag.any_case and isinstance(value, str):
        return _plain_case(value) in {_plain_case(str(choice)) for choice in flag.choices}
    return value in flag.choices


def _plain_case(value: str) -> str:
    return value.casefold().replace("-", "_")


def _whole_number(value: str, suffixes: str) -> int | None:
    scaled = re.fullmatch(r"(\d+)(\.\d+)?([A-Za-z])", value.strip())
    if scaled and scaled[3] in suffixes:
        # Decimals go with powers of 1,000, which have the small letters, only.
        return None if scaled[2] and scaled[3].isupper() else int(scaled[1])
    try:
        return int(value)
    except ValueError:
        return None


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _wrong_json(value: str, suffixes: str, *, is_object: bool) -> str | None:
    expanded = value
    if suffixes:
        # Numbers such as 80m outside quotes; what stands inside them is left alone.
        parts = re.split(r'("(?:[^"\\]|\\.)*")', value)
        parts[::2] = [re.sub(rf"\b(\d+)(?:\.\d+)?[{suffixes}]\b", r"\1", part) for part in parts[::2]]
        expanded = "".join(parts)
    try:
        document = json.loads(expanded)
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg} at character {error.pos + 1})"
    return "not a JSON object" if is_object and not isinstance(document, dict) else None


_EXPECTED = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "json": "JSON",
    "list": "one or more values",
}


class FlagFiles(Mapping[str, ServerFlags]):
    """The flags of a server by version, oldest first; a file is read when its version is asked for, and kept."""

    def __init__(self, kind: ServerKind, folder: Path = _DIRECTORY) -> None:
        self._kind = kind
        paths = {path.stem.removeprefix(f"{kind}-"): path for path in folder.glob(f"{kind}-*.yaml")}
        self._paths = dict(sorted(paths.items(), key=lambda entry: Version(entry[0])))
        self._read: dict[str, ServerFlags] = {}

    def __getitem__(self, version: str) -> ServerFlags:
        if version not in self._paths:
            raise KeyError(
                f"no flags of {_TITLES[self._kind]} {version} in the catalog; there are {', '.join(self._paths)}"
            )
        if version not in self._read:
            self._read[version] = ServerFlags.model_validate(read(self._paths[version]))
        return self._read[version]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def flag_files() -> dict[ServerKind, Mapping[str, ServerFlags]]:
    """The flags that ship with the package, by server and version."""
    return {"vllm": FlagFiles("vllm"), "tgi": FlagFiles("tgi")}
