"""Works out which flags `vllm serve` takes from the source of a vLLM package.

The package's own code builds the parser here: `make_arg_parser` and everything that it calls run in
`tools.package_source.Evaluator`, with a recorder in the parser's place. So both styles of vLLM, arguments written out
and arguments made from the fields of config dataclasses, are read the way that vLLM itself means them.

What a flag's value may be is then read from what was recorded. Every function and action that converts a value has to
be known here by name; one that isn't is reported as a problem and no file is written.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import typing
from dataclasses import dataclass, field
from typing import Any

from tools.package_source import (
    Evaluator,
    Function,
    Instance,
    Member,
    Module,
    Package,
    PackageClass,
    Scope,
    Unknown,
    UnreadableError,
    takes_unknown,
)

ENTRY_MODULES = ("vllm.entrypoints.cli.serve", "vllm.scripts", "vllm.entrypoints.openai.api_server")
"""Where `make_arg_parser` of the server is known by that name; the first that the package has."""

REGISTRIES = ("vllm.tool_parsers", "vllm.entrypoints.openai.tool_parsers", "vllm.reasoning")
"""Packages whose modules register names when they are imported."""

LATE_CHOICES = {
    "--kv-cache-dtype": ("vllm.config.cache:KV_CACHE_DTYPES",),
    "--load-format": ("vllm.model_executor.model_loader:_LOAD_FORMAT_TO_MODEL_LOADER",),
    "--quantization": ("vllm.model_executor.layers.quantization:QUANTIZATION_METHODS",),
    "--reasoning-parser": ("vllm.reasoning:ReasoningParserManager.list_registered",),
    "--tool-call-parser": ("vllm.tool_parsers:ToolParserManager.list_registered",),
}
"""Where the accepted names are of flags for which the parser takes any text and the server refuses later.

Plugins can add to each of these tables.
"""

LAMBDAS: dict[str, dict[str, Any]] = {
    "lambda s: s.lower().replace('-', '_')": {"type": "text", "anyCase": True},
    "lambda s: [int(device_id) if device_id.isdigit() else device_id for device_id in "
    "(part.strip() for part in s.split(','))]": {"type": "text"},
    "lambda configs: {str(key): value for key, value in (config.split(':') for config in configs.split(','))}": {
        "type": "text"
    },
}
"""What the unnamed functions that convert a value take, by their source text."""

STORING_ACTIONS = frozenset({"LoRAParserAction", "PromptAdapterParserAction", "DeprecatedLogConfigFileAction"})
"""Actions of vLLM that store what the value's type made of it."""

MODULE_ACTIONS = frozenset({"LoRAParserAction"})
"""Those that read name=path or the JSON of a module."""

_DEPRECATION = re.compile(
    r"^\W*deprecated\b.*|(?<=[.] )deprecated:.*|\(DEPRECATED\b.*"
    r"|[^.]*\b(?:is|are) deprecated\b.*|[^.]*\bhas been replaced by\b.*",
    re.IGNORECASE,
)
"""How the help texts say that a flag should no longer be used."""


@dataclass(frozen=True)
class Problem:
    """A flag that the tool can't describe."""

    flag: str
    text: str


@dataclass(frozen=True)
class Extraction:
    """What was read of one version."""

    version: str
    flags: dict[str, dict[str, Any]]
    """Descriptions by long flag, sorted."""
    problems: tuple[Problem, ...]


@dataclass
class Recorder:
    """Stands for the parser and its groups, and keeps what is added."""

    added: list[tuple[tuple[str, ...], dict[str, Any]]] = field(default_factory=list)
    records_arguments = True

    @takes_unknown
    def add_argument(self, *names: str, **keywords: Any) -> None:
        """Keep an argument."""
        self.added.append((names, keywords))

    @takes_unknown
    def add_argument_group(self, *_: Any, **__: Any) -> Recorder:
        """A group is the parser itself."""
        return self

    @takes_unknown
    def add_mutually_exclusive_group(self, *_: Any, **__: Any) -> Recorder:
        """A group is the parser itself."""
        return self

    @takes_unknown
    def add_subparsers(self, *_: Any, **__: Any) -> Recorder:
        """The commands are made by the parser itself."""
        return self

    @takes_unknown
    def add_parser(self, name: str, **_: Any) -> Recorder:
        """Only the command `serve` is kept."""
        return self if name == "serve" else Recorder()

    def set_defaults(self, **_: Any) -> None:
        """Defaults that no flag sets are left out."""


def extract(package: Package) -> Extraction:
    """The flags of `vllm serve` of one version.

    Raises:
        UnreadableError: the package is built in a way that this tool doesn't know.

    """
    reader = _Reader(package)
    return reader.extract()


class _Reader:
    def __init__(self, package: Package) -> None:
        self.package = package
        self.evaluator = Evaluator(
            package,
            {
                "argparse.SUPPRESS": argparse.SUPPRESS,
                "sys.argv": ["vllm", "serve", "--help=all"],  # asks for the fields' texts without hiding a flag
                "vllm.envs.*": None,
                "vllm.plugins.load_general_plugins": lambda: None,
                "vllm.engine.arg_utils.get_kwargs": self.keywords,
                "vllm.config.get_attr_docs": self.docs,
                "vllm.config.utils.get_attr_docs": self.docs,
            },
        )
        self.evaluator.natives["vllm.platforms.current_platform"] = self._platform()
        for module in ("vllm.utils", "vllm.utils.import_utils"):
            self.evaluator.natives[f"{module}.LazyLoader"] = self.evaluator.lazy_module
        self.problems: list[Problem] = []

    def docs(self, cls: PackageClass) -> dict[str, str]:
        found = self.evaluator.docs(cls)
        return {spec.name: found.get(spec.name, "") for spec in self.evaluator.fields(cls)}

    def _platform(self) -> Any:
        # The project serves on NVIDIA GPUs.
        if not self.package.has("vllm.platforms.cuda"):
            return Unknown("the platform")
        module = self.evaluator.module("vllm.platforms.cuda")
        return Instance(module.value("CudaPlatformBase")) if module.has("CudaPlatformBase") else Unknown("the platform")

    def keywords(self, cls: PackageClass) -> dict[str, dict[str, Any]]:
        """What `get_kwargs` of vLLM gives, and the enumeration behind a field where there is one."""
        module = self.evaluator.module("vllm.engine.arg_utils")
        name = "_compute_kwargs" if module.has("_compute_kwargs") else "get_kwargs"
        made: dict[str, dict[str, Any]] = self.evaluator.call(module.own(name), [cls])
        for spec in self.evaluator.fields(cls):
            enumeration = self._enumeration(spec.type)
            if enumeration is not None and spec.name in made:
                made[spec.name]["enumeration"] = (enumeration, _validators(cls, spec.name))
        return made

    def _enumeration(self, annotation: Any) -> PackageClass | None:
        hints = typing.get_args(annotation) or (annotation,)
        return next((hint for hint in hints if self.evaluator.is_enum(hint)), None)

    def extract(self) -> Extraction:
        for registry in REGISTRIES:
            if self.package.has(registry):
                self._load_registry(registry)
        recorder = self._build()
        flags: dict[str, dict[str, Any]] = {}
        for names, keywords in recorder.added:
            if not names[0].startswith("-"):
                continue
            name = next((item for item in names if item.startswith("--")), names[0])
            try:
                flags[name] = self._describe(name, names, dict(keywords))
            except UnreadableError as problem:
                self.problems.append(Problem(name, str(problem)))
        return Extraction(self.package.version(), dict(sorted(flags.items())), tuple(self.problems))

    def _build(self) -> Recorder:
        recorder = Recorder()
        entry = next((name for name in ENTRY_MODULES if self.package.has(name)), None)
        if entry is None:
            raise UnreadableError(f"the package has none of {', '.join(ENTRY_MODULES)}")
        module = self.evaluator.module(entry)
        if entry == "vllm.scripts":
            self._run_scripts(module, recorder)
            return recorder
        if not module.has("make_arg_parser"):
            raise UnreadableError(f"{module.path} has no make_arg_parser")
        self.evaluator.call(module.value("make_arg_parser"), [recorder])
        return recorder

    def _run_scripts(self, module: Module, recorder: Recorder) -> None:
        # Until 0.6 the command `vllm` was one function that built all parsers and then parsed.
        main = module.value("main")
        self.evaluator.natives["vllm.utils.FlexibleArgumentParser"] = _Maker(recorder)
        body = []
        for statement in main.node.body:
            if ".parse_args(" in ast.unparse(statement):
                break
            body.append(statement)
        self.evaluator.run(body, main.scope)

    def _load_registry(self, name: str) -> None:
        package = self.evaluator.module(name)
        for statement in package.tree.body:
            if isinstance(statement, ast.ImportFrom):
                for part in (f"{name}.{statement.module}", statement.module or ""):
                    if self.package.has(part) and part.startswith(f"{name}."):
                        self._register(self.evaluator.module(part))
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                self.evaluator.run([statement], _module_scope(package))

    def _register(self, module: Module) -> None:
        for statement in module.tree.body:
            if not isinstance(statement, ast.ClassDef):
                continue
            for decorator in statement.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(".register_module"):
                    register = self.evaluator.evaluate(decorator, _module_scope(module))
                    self.evaluator.call(register, [module.value(statement.name)])

    # Descriptions ----------------------------------------------------------------------------------------------------

    def _describe(self, name: str, names: tuple[str, ...], keywords: dict[str, Any]) -> dict[str, Any]:
        described = self._value(keywords)
        choices = self._choices(name, keywords, described)
        aliases = sorted(item for item in names if item != name)
        negated = self._negations(names) if keywords.get("action") is argparse.BooleanOptionalAction else []
        default = _plain(keywords.get("default", False if keywords.get("action") == "store_true" else None))
        result: dict[str, Any] = {"type": described.pop("type")}
        if "items" in described:
            result["items"] = described.pop("items")
        if choices:
            result["choices"] = choices
        result.update(described)
        if default is not None:
            result["default"] = default
        if aliases:
            result["aliases"] = aliases
        if negated:
            result["negated"] = negated
        deprecated = _deprecation(keywords)
        if deprecated:
            result["deprecated"] = deprecated
        return result

    def _value(self, keywords: dict[str, Any]) -> dict[str, Any]:
        action = keywords.get("action", "store")
        nargs = keywords.get("nargs")
        if isinstance(action, Unknown):
            raise UnreadableError(f"its action is {action.reason}")
        if action in ("store_true", "store_false") or action is argparse.BooleanOptionalAction:
            return {"type": "boolean"}
        if isinstance(action, PackageClass):
            if action.__name__ == "StoreBoolean" and nargs == "?":
                return {"type": "boolean", "value": "optional", "anyCase": True}
            if action.__name__ not in STORING_ACTIONS:
                raise UnreadableError(f"its action {action!r} isn't one that this tool knows")
        elif action not in ("store", "append"):
            raise UnreadableError(f"its action {action!r} isn't one that this tool knows")
        converted = self._type(keywords.get("type", str))
        if nargs in ("+", "*") or isinstance(nargs, int) or action == "append":
            if action == "append":
                converted["repeats"] = True
            if isinstance(action, PackageClass) and action.__name__ in MODULE_ACTIONS:
                converted["form"] = "moduleOnce" if _splits_everywhere(action) else "module"
            return {"type": "list", "items": converted.pop("type"), **converted}
        if nargs == "?":
            return {**converted, "value": "optional"}
        if nargs is not None:
            raise UnreadableError(f"nargs={nargs!r} isn't one that this tool knows")
        return converted

    def _type(self, value: Any) -> dict[str, Any]:
        if value is int:
            return {"type": "integer"}
        if value is float:
            return {"type": "number"}
        if value is str:
            return {"type": "text"}
        if value is json.loads:
            return {"type": "json"}
        if isinstance(value, Function):
            return self._converter(value)
        if isinstance(value, Unknown):
            raise UnreadableError(f"its type is {value.reason}")
        if isinstance(value, PackageClass) or (isinstance(value, type) and value.__module__ != "builtins"):
            # A class that is made from one text, such as a path or an import name.
            return {"type": "text"}
        if typing.get_origin(value) is not None and str in _flat(value):
            return {"type": "text"}
        raise UnreadableError(f"its type {value!r} isn't one that this tool knows")

    def _converter(self, function: Function) -> dict[str, Any]:
        match function.name:
            case "_optional_type" | "_parse_type":
                inner = self._type(function.scope.names["return_type"])
                return inner if function.name == "_parse_type" else {**inner, "optional": True}
            case "human_readable_int":
                return {"type": "integer", "suffixes": self._suffixes(function)}
            case "human_readable_int_or_auto":
                called = function.scope.module.value("human_readable_int")
                return {"type": "integer", "suffixes": self._suffixes(called), "words": ["auto"]}
            case "union_dict_and_str":
                return {"type": "text", "jsonObject": True}
            case "parse_dataclass":
                if "_expand_json_human_readable_numbers" in function.source:
                    called = self.evaluator.find("vllm.engine.arg_utils:human_readable_int")
                    return {"type": "json", "jsonObject": True, "suffixes": self._suffixes(called)}
                return {"type": "json", "jsonObject": True}
            case "nullable_str":
                return {"type": "text", "optional": True}
            case "nullable_kvs":
                return {"type": "text", "optional": True}
            case "parse_reasoning_parser":
                return {"type": "text", "words": ["none"]}
            case "<lambda>" if function.source in LAMBDAS:
                return dict(LAMBDAS[function.source])
        text = function.source if function.name == "<lambda>" else function.name
        raise UnreadableError(f"its type is the function {text} ({function.where}), which this tool doesn't know")

    def _suffixes(self, function: Function) -> str:
        letters = {
            key.value
            for node in ast.walk(function.node)
            if isinstance(node, ast.Dict)
            for key in node.keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and len(key.value) == 1
        }
        if not letters:
            raise UnreadableError(f"{function.name} ({function.where}) has no table of suffixes")
        return "".join(sorted(letters))

    def _choices(self, name: str, keywords: dict[str, Any], described: dict[str, Any]) -> list[Any]:
        choices = keywords.get("choices")
        if isinstance(choices, Unknown):
            raise UnreadableError(f"its choices are {choices.reason}")
        if choices is not None:
            found = self.evaluator.iterate(choices)
            for item in found:
                if isinstance(item, Unknown):
                    raise UnreadableError(f"one of its choices is {item.reason}")
            if "None" in found:  # a text among the choices, but the type makes nothing of it: never taken
                described.pop("optional", None)
            # None itself stands for an empty value, which `optional` states.
            return sorted(
                {item for item in found if item not in (None, "None")}, key=lambda item: (str(type(item)), item)
            )
        if "enumeration" in keywords:
            enumeration, validators = keywords["enumeration"]
            return self._enumerated(enumeration, validators, described)
        for location in LATE_CHOICES.get(name, ()):
            module, _, path = location.partition(":")
            if self.package.has(module) and self.evaluator.module(module).has(path.partition(".")[0]):
                value = self.evaluator.find(location)
                found = self.evaluator.call(value) if isinstance(value, Function) else value
                described["plugins"] = True
                return sorted(self.evaluator.iterate(found))
        named = keywords.get("metavar")
        if isinstance(named, list) and named:
            described["known"] = sorted(named)
        return []

    def _enumerated(self, enumeration: PackageClass, validators: str, described: dict[str, Any]) -> list[Any]:
        members = self.evaluator.enum_members(enumeration)
        if any(getattr(base, "__name__", "") == "IntEnum" for base in enumeration.bases):
            described["type"] = "integer"
            return sorted(member.value for member in members)
        if ".upper()" in validators:
            described["anyCase"] = True
        if ".lower() == 'auto'" in validators:
            described["words"] = ["auto"]
        return sorted(member.name for member in members)

    def _negations(self, names: tuple[str, ...]) -> list[str]:
        found = {f"--no-{name[2:]}" for name in names if name.startswith("--")}
        if self._pairs_enable_with_disable():
            pairs = {"--enable-": "--disable-", "--disable-": "--enable-"}
            for name in names:
                found.update(other + name[len(prefix) :] for prefix, other in pairs.items() if name.startswith(prefix))
        return sorted(found)

    def _pairs_enable_with_disable(self) -> bool:
        name = "vllm.utils.argparse_utils"
        if not self.package.has(name) or not self.evaluator.module(name).has("FlexibleArgumentParser"):
            return False
        parser = self.evaluator.module(name).value("FlexibleArgumentParser")
        registered = re.findall(r"self\.register\('action', BooleanOptionalAction, (\w+)\)", ast.unparse(parser.node))
        unknown = set(registered) - {"EnableDisableAction"}
        if unknown:
            raise UnreadableError(f"{name} replaces BooleanOptionalAction by {', '.join(sorted(unknown))}")
        return bool(registered)


@dataclass(frozen=True)
class _Maker:
    """Stands for the parser's class."""

    recorder: Recorder

    def __call__(self, *_: Any, **__: Any) -> Recorder:
        return self.recorder


def _validators(cls: PackageClass, name: str) -> str:
    """Source of the functions that prepare a value for the field `name`."""
    found = [ast.unparse(item) for item in cls.node.body if isinstance(item, ast.FunctionDef)]
    return "\n".join(source for source in found if f"field_validator('{name}'" in source)


def _module_scope(module: Module) -> Scope:
    return Scope(module)


def _flat(annotation: Any) -> set[Any]:
    arguments = typing.get_args(annotation)
    return set().union(*(_flat(item) for item in arguments)) if arguments else {annotation}


def _plain(value: Any) -> Any:
    """`value` if it is a literal that YAML can state, otherwise None."""
    if isinstance(value, Member):
        texts = isinstance(value.value, str) and str in value.owner.bases
        return value.value if texts or isinstance(value.value, int) else value.name
    if isinstance(value, set | frozenset | tuple):
        value = sorted(value) if isinstance(value, set | frozenset) else list(value)
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        return None if any(item is None for item in items) else items
    if isinstance(value, dict):
        entries = {key: _plain(item) for key, item in value.items()}
        return None if any(item is None or not isinstance(key, str) for key, item in entries.items()) else entries
    if isinstance(value, bool | int | float) or (isinstance(value, str) and value != argparse.SUPPRESS):
        return value
    return None


def _deprecation(keywords: dict[str, Any]) -> str | None:
    text = keywords.get("help")
    text = " ".join(text.split()) if isinstance(text, str) else ""
    found = _DEPRECATION.search(text)
    if found:
        sentences = re.split(r"(?<=[.]) (?=[A-Z])", found[0].strip(" ()"))
        return " ".join(sentences[:2])
    return (text or "deprecated") if keywords.get("deprecated") else None


def _splits_everywhere(action: PackageClass) -> bool:
    """Whether an action splits name=path at every =, so that a second one is an error."""
    source = ast.unparse(action.node)
    return ".split('=')" in source
