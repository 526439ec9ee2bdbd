"""Reads a Python package's source and works out names, classes and calls in it, without importing the package.

`Package` holds the source of a wheel or of a directory. `Evaluator` evaluates expressions and runs functions of it
over a part of Python that is enough for code which builds a command-line parser: literals, dataclass fields, type
annotations, comprehensions, conditions, loops over data. Nothing of the package is executed by Python itself, and
nothing that its code says can reach files, the network or the environment. What the source alone doesn't decide
becomes `Unknown`, with the reason; a decision that hangs on an `Unknown` raises `UnreadableError`.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import collections
import collections.abc
import copy
import dataclasses
import enum
import functools
import inspect
import itertools
import json
import operator
import re
import ssl
import types
import typing
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_STANDARD_MODULES: dict[str, Any] = {
    "argparse": argparse,
    "collections": collections,
    "collections.abc": collections.abc,
    "copy": copy,
    "enum": enum,
    "functools": functools,
    "itertools": itertools,
    "json": json,
    "operator": operator,
    "re": re,
    "regex": re,
    "ssl": ssl,
    "types": types,
    "typing": typing,
    "typing_extensions": typing,
}
_BUILTIN_NAMES = """
    all any bool bytes dict enumerate filter float frozenset hasattr int len list map max min next object range repr
    reversed set sorted str sum tuple type zip ValueError TypeError KeyError Exception StopIteration
    NotImplementedError AssertionError RuntimeError
"""
_BUILTINS = {name: getattr(builtins, name) for name in re.findall(r"\w+", _BUILTIN_NAMES)}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_TRANSPARENT_DECORATORS = frozenset({"cache", "lru_cache", "staticmethod", "classmethod", "overload", "final"})
_ENUM_BASES = frozenset({"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"})


_TAKES_UNKNOWN: set[Any] = set()
_Callable = TypeVar("_Callable", bound="Callable[..., Any]")


def takes_unknown(function: _Callable) -> _Callable:
    """Marks a function of this tool that is called even if an argument is `Unknown`."""
    _TAKES_UNKNOWN.add(function)
    return function


class UnreadableError(Exception):
    """The source doesn't say what the tool needs to know, or says it in a way that the tool doesn't read."""


@dataclass(frozen=True)
class Unknown:
    """A value that only running the package would give."""

    reason: str

    def __bool__(self) -> bool:
        raise UnreadableError(f"a condition depends on {self.reason}")


class OutsideMeta(type):
    """Stands for a name of another package: usable in annotations, otherwise unknown."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return outside(f"{cls.__module__}.{cls.__name__}", name)

    def __getitem__(cls, item: Any) -> Any:
        return typing.Annotated[item, cls.__name__] if cls.__name__ == "SkipValidation" else cls

    def __repr__(cls) -> str:
        return f"{cls.__module__}.{cls.__name__}"


@functools.cache
def outside(module: str, name: str) -> OutsideMeta:
    """The stand-in for `name` of `module`, which isn't part of the package."""
    return OutsideMeta(name, (), {"__module__": module})


class PackageClass(type):
    """Stands for a class of the package: usable in annotations; its parts are read when asked for."""

    module: Module
    node: ast.ClassDef
    bases: tuple[Any, ...]
    members: dict[str, Any]

    def __repr__(cls) -> str:
        return f"{cls.module.name}.{cls.__name__}"


@dataclass(frozen=True)
class Member:
    """A member of an enumeration."""

    owner: PackageClass
    name: str
    value: Any


@dataclass(frozen=True)
class Instance:
    """An object of a class of the package of which only the class is known."""

    owner: PackageClass


@dataclass
class PydanticField:
    """What `pydantic.Field(...)` gives."""

    default: Any
    default_factory: Any
    init: Any


@dataclass
class FieldSpec:
    """What `dataclasses.field(...)` gives, and what `dataclasses.fields` lists."""

    name: str
    type: Any
    default: Any
    default_factory: Any
    init: bool = True


@dataclass(eq=False)
class Function:
    """A function or lambda of the package, with the names around it."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    bound: tuple[Any, ...] = ()

    @property
    def where(self) -> str:
        """File and line of the function."""
        return f"{self.scope.module.path}:{self.node.lineno}"

    @property
    def source(self) -> str:
        """The function as normalized source text."""
        return ast.unparse(self.node)


@dataclass
class Scope:
    """Names of a function call, the names around it, and the module below them."""

    module: Module
    names: dict[str, Any] = field(default_factory=dict)
    parent: Scope | None = None
    owner: PackageClass | None = None
    """Class in which the function is defined, for `super()`."""

    def lookup(self, name: str) -> Any:
        """Value of `name`.

        Raises:
            KeyError: no scope has the name.

        """
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return self.module.value(name)


class _Return(Exception):  # noqa: N818 control flow, not an error
    def __init__(self, value: Any) -> None:
        self.value = value


class _Continue(Exception):  # noqa: N818 control flow, not an error
    pass


class _Break(Exception):  # noqa: N818 control flow, not an error
    pass


@dataclass(frozen=True)
class _Binding:
    node: ast.stmt
    conditions: tuple[tuple[ast.expr, bool], ...]


class Module:
    """A module of the package. Top-level names are worked out when asked for, from the statement that binds them."""

    def __init__(self, name: str, path: str, tree: ast.Module, evaluator: Evaluator) -> None:
        self.name = name
        self.path = path
        self.tree = tree
        self.is_package = path.endswith("__init__.py")
        self._evaluator = evaluator
        self._values: dict[str, Any] = {}
        self._evaluating: set[str] = set()
        self._bindings: dict[str, list[_Binding]] = {}
        self._stars: list[str] = []
        self._index(tree.body, ())

    def _index(self, body: Sequence[ast.stmt], conditions: tuple[tuple[ast.expr, bool], ...]) -> None:
        for statement in body:
            if isinstance(statement, ast.If):
                self._index(statement.orelse, (*conditions, (statement.test, False)))
                self._index(statement.body, (*conditions, (statement.test, True)))
            elif isinstance(statement, ast.Try):
                self._index([*statement.body, *statement.orelse], conditions)
            elif isinstance(statement, ast.With):
                self._index(statement.body, conditions)
            else:
                if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
                    self._stars.append(_absolute(statement, self))
                for name in _bound_names(statement):
                    self._bindings.setdefault(name, []).append(_Binding(statement, conditions))

    def has(self, name: str) -> bool:
        """Whether the module binds `name` at its top level."""
        if name in self._bindings or (self.is_package and self._evaluator.package.has(f"{self.name}.{name}")):
            return True
        return self._star(name) is not None

    def _star(self, name: str) -> Module | None:
        if name.startswith("_"):
            return None
        known = (self._evaluator.module(star) for star in self._stars if self._evaluator.package.has(star))
        return next((module for module in known if module.has(name)), None)

    def value(self, name: str) -> Any:
        """Value of a top-level name, or of a builtin.

        Raises:
            KeyError: the module has no such name.

        """
        if f"{self.name}.{name}" in self._evaluator.natives:
            return self._evaluator.natives[f"{self.name}.{name}"]
        return self.own(name)

    def own(self, name: str) -> Any:
        """Like `value`, even where a native stands for the name.

        Raises:
            KeyError: the module has no such name.

        """
        if name in self._values:
            return self._values[name]
        if name not in self._bindings:
            if self.is_package and self._evaluator.package.has(f"{self.name}.{name}"):
                return self._evaluator.module(f"{self.name}.{name}")
            star = self._star(name)
            if star is not None:
                return star.value(name)
            if name in self._evaluator.natives:
                return self._evaluator.natives[name]
            return _BUILTINS[name]
        if name in self._evaluating:
            return Unknown(f"{self.name}.{name}, which is defined in terms of itself")
        self._evaluating.add(name)
        try:
            self._values[name] = self._resolve(name)
        finally:
            self._evaluating.discard(name)
        return self._values[name]

    def _resolve(self, name: str) -> Any:
        bindings = self._bindings[name]
        for binding in reversed(bindings):
            try:
                applies = all(self._holds(test) is wanted for test, wanted in binding.conditions)
            except UnreadableError as problem:
                return Unknown(f"{self.path}:{binding.node.lineno}: {problem}")
            if applies:
                return self._evaluator.bind(binding.node, name, Scope(self))
        # Names that exist for type checkers only still say what an annotation means.
        return self._evaluator.bind(bindings[-1].node, name, Scope(self))

    def _holds(self, test: ast.expr) -> bool:
        if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING":
            return False
        return bool(self._evaluator.evaluate(test, Scope(self)))


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from (item.id for item in ast.walk(target) if isinstance(item, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id


class Package:
    """The Python files of a wheel or of a directory, by module name."""

    def __init__(self, files: Mapping[str, Callable[[], bytes]]) -> None:
        self._files = files
        self._modules = {_module_name(path): path for path in sorted(files) if path.endswith(".py")}

    @staticmethod
    def open(location: Path) -> Package:
        """The package in a wheel file, or in a directory that holds the package's own directory."""
        if location.is_dir():
            found = sorted(location.rglob("*.py")) + sorted(location.rglob("METADATA"))
            return Package({path.relative_to(location).as_posix(): path.read_bytes for path in found})
        wheel = zipfile.ZipFile(location)
        return Package({name: functools.partial(wheel.read, name) for name in wheel.namelist()})

    def has(self, module: str) -> bool:
        """Whether the package has the module."""
        return module in self._modules

    def path(self, module: str) -> str:
        """Path of the module's file."""
        return self._modules[module]

    def tree(self, module: str) -> ast.Module:
        """Syntax tree of the module."""
        path = self._modules[module]
        return ast.parse(self._files[path]().decode("utf-8"), path)

    def version(self) -> str:
        """Version in the package's metadata.

        Raises:
            UnreadableError: the package has no metadata.

        """
        for name in sorted(self._files):
            if name.endswith(".dist-info/METADATA"):
                found = re.search(r"^Version: *(\S+)", self._files[name]().decode("utf-8"), re.MULTILINE)
                if found:
                    return found[1]
        raise UnreadableError("the package has no .dist-info/METADATA that states its version")


def _module_name(path: str) -> str:
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Evaluator:
    """Evaluates the package's code.

    Args:
        package: where the source comes from.
        natives: what stands for top-level names of other packages or of this one, as "module.name", or for builtins;
            "module.*" makes every name of a module unknown.

    """

    def __init__(self, package: Package, natives: Mapping[str, Any] | None = None) -> None:
        self.package = package
        self.natives: dict[str, Any] = {
            "dataclasses.MISSING": dataclasses.MISSING,
            "dataclasses.InitVar": dataclasses.InitVar,
            "dataclasses.field": _field,
            "dataclasses.fields": self.fields,
            "dataclasses.is_dataclass": self.is_dataclass,
            "functools.cache": lambda function: function,
            "getattr": self._getattr,
            "isinstance": _isinstance,
            "issubclass": self.is_subclass,
            "pydantic.Field": _pydantic_field,
            "pydantic.fields.Field": _pydantic_field,
            "pydantic.fields.FieldInfo": PydanticField,
            "sys.modules": {},
            "typing.TYPE_CHECKING": False,
            "typing.cast": lambda _, value: value,
            "typing.is_typeddict": lambda _: False,
            "typing_extensions.is_typeddict": lambda _: False,
            **(natives or {}),
        }
        self._modules: dict[str, Module] = {}

    # Names -----------------------------------------------------------------------------------------------------------

    def module(self, name: str) -> Module:
        """The module `name` of the package.

        Raises:
            UnreadableError: the package has no such module.

        """
        if name not in self._modules:
            if not self.package.has(name):
                raise UnreadableError(f"the package has no module {name}")
            self._modules[name] = Module(name, self.package.path(name), self.package.tree(name), self)
        return self._modules[name]

    def find(self, qualified: str) -> Any:
        """Value of "module:name" or "module:Class.attribute"."""
        module, _, path = qualified.partition(":")
        value: Any = self.module(module)
        for part in path.split("."):
            value = self.attribute(value, part)
        return value

    def imported(self, module: str, name: str) -> Any:
        """What `from module import name` gives."""
        if f"{module}.{name}" in self.natives:
            return self.natives[f"{module}.{name}"]
        if f"{module}.*" in self.natives:
            return Unknown(f"{module}.{name}")
        if self.package.has(module):
            found = self.module(module)
            if found.has(name):
                return found.value(name)
            if self.package.has(f"{module}.{name}"):
                return self.module(f"{module}.{name}")
            return Unknown(f"{module}.{name}, which {found.path} doesn't define")
        if module in _STANDARD_MODULES and hasattr(_STANDARD_MODULES[module], name):
            return getattr(_STANDARD_MODULES[module], name)
        return outside(module, name)

    @takes_unknown
    def lazy_module(self, _local: str, _globals: Any, name: str) -> Any:
        """What a lazy loader of module `name` gives."""
        return self.module(name) if self.package.has(name) else _Namespace(name, self)

    def bind(self, statement: ast.stmt, name: str, scope: Scope) -> Any:
        """The value that `statement` gives to `name`."""
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            return self._function(statement, scope)
        if isinstance(statement, ast.ClassDef):
            return self._class(statement, scope)
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return self._import(statement, name, scope)
        if isinstance(statement, ast.AnnAssign):
            if statement.value is None:
                return Unknown(f"{scope.module.path}:{statement.lineno}, which only declares {name}")
            return self.evaluate(statement.value, scope)
        assert isinstance(statement, ast.Assign)
        value = self.evaluate(statement.value, scope)
        for target in statement.targets:
            if isinstance(target, ast.Tuple) and not isinstance(value, Unknown):
                for item, part in zip(target.elts, value, strict=True):
                    if isinstance(item, ast.Name) and item.id == name:
                        return part
        return value

    def _import(self, statement: ast.Import | ast.ImportFrom, name: str, scope: Scope) -> Any:
        alias = next(item for item in statement.names if (item.asname or item.name.split(".")[0]) == name)
        if isinstance(statement, ast.ImportFrom):
            return self.imported(_absolute(statement, scope.module), alias.name)
        target = alias.name if alias.asname else alias.name.split(".")[0]
        return self.module(target) if self.package.has(target) else _Namespace(target, self)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> Any:
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            last = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if last not in _TRANSPARENT_DECORATORS:
                return Unknown(f"{scope.module.path}:{node.lineno}: {node.name}, decorated with {last}")
        return Function(node.name, node, scope)

    def _class(self, node: ast.ClassDef, scope: Scope) -> PackageClass:
        made = PackageClass(node.name, (), {"__module__": scope.module.name})
        made.module = scope.module
        made.node = node
        made.members = {}
        made.bases = tuple(self.evaluate(base, scope) for base in node.bases)
        return made

    # Classes ---------------------------------------------------------------------------------------------------------

    def is_subclass(self, cls: Any, base: Any) -> bool:
        """Whether `cls` is `base` or comes from it, as far as the source says."""
        if isinstance(base, tuple):
            return any(self.is_subclass(cls, item) for item in base)
        if isinstance(cls, PackageClass):
            return cls is base or any(self.is_subclass(item, base) for item in cls.bases)
        if isinstance(cls, type) and isinstance(base, type):
            return cls is base or (not isinstance(cls, OutsideMeta) and issubclass(cls, base))
        origin = typing.get_origin(cls)
        return origin is not None and self.is_subclass(origin, base)

    def is_enum(self, value: Any) -> bool:
        """Whether `value` is an enumeration of the package."""
        return isinstance(value, PackageClass) and any(
            (isinstance(base, type) and base.__name__ in _ENUM_BASES) or self.is_enum(base) for base in value.bases
        )

    def is_dataclass(self, value: Any) -> bool:
        """Whether `value` is a class of the package with a dataclass decorator."""
        if not isinstance(value, PackageClass):
            return False
        for decorator in value.node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            last = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if last in {"dataclass", "config"}:
                return True
        return any(self.is_dataclass(base) for base in value.bases)

    def fields(self, cls: PackageClass) -> list[FieldSpec]:
        """The dataclass fields of `cls` and of its bases, in order of definition."""
        found: dict[str, FieldSpec] = {}
        for base in reversed([base for base in cls.bases if isinstance(base, PackageClass)]):
            found.update((spec.name, spec) for spec in self.fields(base))
        scope = Scope(cls.module, owner=cls)
        for statement in cls.node.body:
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            annotation = self.annotation(statement.annotation, scope)
            if isinstance(annotation, dataclasses.InitVar) or annotation is dataclasses.InitVar:
                continue
            if typing.get_origin(annotation) is typing.ClassVar or annotation is typing.ClassVar:
                continue
            name = statement.target.id
            default: Any = dataclasses.MISSING
            if statement.value is not None:
                default = self.attribute(cls, name)
            if isinstance(default, FieldSpec):
                found[name] = dataclasses.replace(default, name=name, type=annotation)
            else:
                found[name] = FieldSpec(name, annotation, default, dataclasses.MISSING)
        return list(found.values())

    def annotation(self, node: ast.expr, scope: Scope) -> Any:
        """What an annotation means; a forward reference in quotes too."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.parse(node.value, mode="eval").body
        return self.evaluate(node, scope)

    def docs(self, cls: PackageClass) -> dict[str, str]:
        """The texts that stand below the fields of `cls` and of its bases."""
        found: dict[str, str] = {}
        for base in reversed([base for base in cls.bases if isinstance(base, PackageClass)]):
            found.update(self.docs(base))
        for first, second in itertools.pairwise(cls.node.body):
            if isinstance(first, ast.Assign | ast.AnnAssign) and isinstance(second, ast.Expr):
                target = first.targets[0] if isinstance(first, ast.Assign) else first.target
                text = second.value
                if isinstance(target, ast.Name) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[target.id] = inspect.cleandoc(text.value)
        return found

    def enum_members(self, cls: PackageClass) -> list[Member]:
        """Members of an enumeration, in order of definition."""
        names = [
            target.id
            for statement in cls.node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name) and not target.id.startswith("_")
        ]
        return [self.attribute(cls, name) for name in names]

    def _class_attribute(self, cls: PackageClass, name: str, bound: Any) -> Any:
        if name not in cls.members:
            for statement in cls.node.body:
                if name in _bound_names(statement):
                    break
            else:
                for base in cls.bases:
                    if isinstance(base, PackageClass) and self._has_attribute(base, name):
                        return self._class_attribute(base, name, bound)
                if name == "__doc__":
                    return ast.get_docstring(cls.node)
                if name == "__members__":
                    return {member.name: member for member in self.enum_members(cls)}
                return Unknown(f"{cls!r}.{name}")
            value = self.bind(statement, name, Scope(cls.module, owner=cls))
            if self.is_enum(cls) and isinstance(statement, ast.Assign):
                value = Member(cls, name, value)
            cls.members[name] = value
        value = cls.members[name]
        if isinstance(value, Function) and isinstance(value.node, ast.FunctionDef):
            decorators = {getattr(item, "id", "") for item in value.node.decorator_list}
            if "classmethod" in decorators:
                return dataclasses.replace(value, bound=(bound,))
            if isinstance(bound, Instance) and "staticmethod" not in decorators:
                return dataclasses.replace(value, bound=(bound,))
        return value

    def _has_attribute(self, cls: PackageClass, name: str) -> bool:
        return any(name in _bound_names(statement) for statement in cls.node.body) or any(
            isinstance(base, PackageClass) and self._has_attribute(base, name) for base in cls.bases
        )

    def attribute(self, value: Any, name: str) -> Any:
        """What `value.name` gives.

        Raises:
            UnreadableError: the value has no such attribute.

        """
        if isinstance(value, Unknown):
            return value
        if isinstance(value, Module):
            return self.imported(value.name, name)
        if isinstance(value, PackageClass):
            return (
                getattr(value, name)
                if name in {"__name__", "__module__"}
                else self._class_attribute(value, name, value)
            )
        if isinstance(value, Instance):
            return self._class_attribute(value.owner, name, value)
        if isinstance(value, _Super):
            return self._super_attribute(value, name)
        if isinstance(value, Member) and name not in {"name", "value"}:
            return Unknown(f"{value.owner!r}.{value.name}.{name}")
        if isinstance(value, Function):
            return Unknown(f"{value.name}.{name}")
        try:
            return getattr(value, name)
        except AttributeError:
            raise UnreadableError(f"{_describe(value)} has no attribute {name}") from None

    def _super_attribute(self, value: _Super, name: str) -> Any:
        for base in value.owner.bases:
            if isinstance(base, PackageClass) and self._has_attribute(base, name):
                return self._class_attribute(base, name, value.bound)
        return Unknown(f"super().{name} of {value.owner!r}")

    def _getattr(self, value: Any, name: str, *default: Any) -> Any:
        if default and isinstance(value, Module) and not value.has(name):
            return default[0]
        try:
            return self.attribute(value, name)
        except UnreadableError:
            if default:
                return default[0]
            raise

    # Calls -----------------------------------------------------------------------------------------------------------

    def call(self, function: Any, arguments: Sequence[Any] = (), keywords: Mapping[str, Any] | None = None) -> Any:
        """What calling `function` gives."""
        keywords = dict(keywords or {})
        if isinstance(function, Function):
            return self._call_function(function, [*function.bound, *arguments], keywords)
        if isinstance(function, Unknown | OutsideMeta | PackageClass | Instance):
            return self._call_unreadable(function, arguments, keywords)
        if not callable(function):
            raise UnreadableError(f"{_describe(function)} is called, but isn't a function")
        unknown = next((item for item in arguments if isinstance(item, Unknown)), None)
        keeps = isinstance(getattr(function, "__self__", None), list | dict | set)
        if unknown is not None and not keeps and getattr(function, "__func__", function) not in _TAKES_UNKNOWN:
            return unknown
        if any(isinstance(item, Function) for item in (*arguments, *keywords.values())) and function in _HIGHER_ORDER:
            return Unknown(f"{_describe(function)} of a function of the package")
        try:
            return function(*arguments, **keywords)
        except UnreadableError:
            raise
        except Exception as error:
            raise UnreadableError(f"{_describe(function)} fails: {type(error).__name__}: {error}") from error

    def _call_unreadable(self, function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        for item in (*arguments, *keywords.values()):
            if getattr(item, "records_arguments", False):
                raise UnreadableError(f"{_describe(function)} gets the parser, and can't be read")
        if isinstance(function, PackageClass) and self.is_enum(function) and len(arguments) == 1:
            for member in self.enum_members(function):
                if member.value == arguments[0]:
                    return member
        return Unknown(function.reason if isinstance(function, Unknown) else f"a call of {_describe(function)}")

    def _call_function(self, function: Function, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        node = function.node
        specification = node.args
        scope = Scope(function.scope.module, {}, function.scope, function.scope.owner)
        positional = [item.arg for item in (*specification.posonlyargs, *specification.args)]
        defaults = dict(zip(reversed(positional), reversed(specification.defaults), strict=False))
        defaults.update(
            (item.arg, default)
            for item, default in zip(specification.kwonlyargs, specification.kw_defaults, strict=True)
            if default is not None
        )
        scope.names.update(zip(positional, arguments, strict=False))
        if specification.vararg:
            scope.names[specification.vararg.arg] = tuple(arguments[len(positional) :])
        known = {*positional, *(item.arg for item in specification.kwonlyargs)}
        extra = {name: value for name, value in keywords.items() if name not in known}
        scope.names.update((name, value) for name, value in keywords.items() if name in known)
        if specification.kwarg:
            scope.names[specification.kwarg.arg] = extra
        for name in known:
            if name not in scope.names and name in defaults:
                scope.names[name] = self.evaluate(defaults[name], function.scope)
        if isinstance(node, ast.Lambda):
            return self.evaluate(node.body, scope)
        try:
            self.run(node.body, scope)
        except _Return as returned:
            return returned.value
        return None

    # Statements ------------------------------------------------------------------------------------------------------

    def run(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Run statements of a function."""
        for statement in body:
            try:
                self._run(statement, scope)
            except (_Return, _Continue, _Break):
                raise
            except UnreadableError as problem:
                if re.match(r"\S+\.py:\d+: ", str(problem)):
                    raise
                raise UnreadableError(f"{scope.module.path}:{statement.lineno}: {problem}") from problem

    def _run(self, statement: ast.stmt, scope: Scope) -> None:
        match statement:
            case ast.Expr():
                self.evaluate(statement.value, scope)
            case ast.Assign():
                value = self.evaluate(statement.value, scope)
                for target in statement.targets:
                    self._assign(target, value, scope)
            case ast.AnnAssign():
                if statement.value is not None:
                    self._assign(statement.target, self.evaluate(statement.value, scope), scope)
            case ast.AugAssign():
                self._augment(statement, scope)
            case ast.If():
                self.run(statement.body if self.truth(statement.test, scope) else statement.orelse, scope)
            case ast.For():
                self._loop(statement, scope)
            case ast.With() | ast.Try():
                self.run(statement.body, scope)
            case ast.Return():
                raise _Return(self.evaluate(statement.value, scope) if statement.value else None)
            case ast.Delete():
                for target in statement.targets:
                    if isinstance(target, ast.Subscript):
                        del self.evaluate(target.value, scope)[self.evaluate(target.slice, scope)]
            case ast.FunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                for name in _bound_names(statement):
                    scope.names[name] = self.bind(statement, name, scope)
            case ast.Continue():
                raise _Continue
            case ast.Break():
                raise _Break
            case ast.Raise():
                raise UnreadableError(f"the code raises {ast.unparse(statement.exc) if statement.exc else 'an error'}")
            case ast.Pass() | ast.Assert() | ast.Global() | ast.Nonlocal():
                pass
            case _:
                raise UnreadableError(f"a {type(statement).__name__} statement isn't read by this tool")

    def _loop(self, statement: ast.For, scope: Scope) -> None:
        for item in self.iterate(self.evaluate(statement.iter, scope)):
            self._assign(statement.target, item, scope)
            try:
                self.run(statement.body, scope)
            except _Continue:
                continue
            except _Break:
                return

    def _assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            for item, part in zip(target.elts, self.iterate(value), strict=True):
                self._assign(item, part, scope)
        elif isinstance(target, ast.Subscript):
            container = self.evaluate(target.value, scope)
            if isinstance(container, Unknown):
                raise UnreadableError(f"a value is stored in {container.reason}")
            container[self.evaluate(target.slice, scope)] = value
        # An attribute that is set changes nothing that a parser's arguments depend on.

    def _augment(self, statement: ast.AugAssign, scope: Scope) -> None:
        target = ast.parse(ast.unparse(statement.target), mode="eval").body
        current = self.evaluate(target, scope)
        added = self.evaluate(statement.value, scope)
        if isinstance(current, list) and isinstance(statement.op, ast.Add):
            current.extend(added)
        elif isinstance(current, str) and isinstance(added, Unknown):
            pass  # a help text keeps the part that is known
        else:
            self._assign(statement.target, self._binary(statement.op, current, added), scope)

    # Expressions -----------------------------------------------------------------------------------------------------

    def truth(self, node: ast.expr, scope: Scope) -> bool:
        """Whether a condition holds."""
        return bool(self.evaluate(node, scope))

    def iterate(self, value: Any) -> list[Any]:
        """Items of a collection of which every item is known."""
        if isinstance(value, Unknown):
            raise UnreadableError(f"a loop goes over {value.reason}")
        if isinstance(value, PackageClass) and self.is_enum(value):
            return list(self.enum_members(value))
        return list(value)

    def evaluate(self, node: ast.expr, scope: Scope) -> Any:
        """Value of an expression."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._name(node, scope)
            case ast.Attribute():
                return self._attribute_expression(node, scope)
            case ast.Subscript():
                return self._subscript(node, scope)
            case ast.Call():
                return self._call_expression(node, scope)
            case ast.List() | ast.Tuple() | ast.Set():
                items = self._items(node.elts, scope)
                return (
                    items if isinstance(node, ast.List) else tuple(items) if isinstance(node, ast.Tuple) else set(items)
                )
            case ast.Dict():
                return self._dict(node, scope)
            case ast.BinOp():
                return self._binary(node.op, self.evaluate(node.left, scope), self.evaluate(node.right, scope))
            case ast.BoolOp():
                return self._boolean(node, scope)
            case ast.UnaryOp():
                return self._unary(node, scope)
            case ast.Compare():
                return self._compare(node, scope)
            case ast.IfExp():
                test = self.evaluate(node.test, scope)
                if isinstance(test, Unknown):
                    return test
                return self.evaluate(node.body if test else node.orelse, scope)
            case ast.JoinedStr():
                return self._text(node, scope)
            case ast.Lambda():
                return Function("<lambda>", node, scope)
            case ast.NamedExpr():
                value = self.evaluate(node.value, scope)
                scope.names[node.target.id] = value
                return value
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                found = [self.evaluate(node.elt, inner) for inner in self._comprehend(node.generators, scope)]
                return (
                    set(found)
                    if isinstance(node, ast.SetComp)
                    else iter(found)
                    if isinstance(node, ast.GeneratorExp)
                    else found
                )
            case ast.DictComp():
                return {
                    self.evaluate(node.key, inner): self.evaluate(node.value, inner)
                    for inner in self._comprehend(node.generators, scope)
                }
            case ast.Starred() | _:
                return Unknown(f"{scope.module.path}:{node.lineno}: {ast.unparse(node)[:80]}")

    def _name(self, node: ast.Name, scope: Scope) -> Any:
        if node.id == "__name__":
            return scope.module.name
        try:
            return scope.lookup(node.id)
        except KeyError:
            # A class body may refer to what it defines itself.
            if scope.owner is not None and self._has_attribute(scope.owner, node.id):
                return self._class_attribute(scope.owner, node.id, scope.owner)
            return Unknown(f"{scope.module.path}:{node.lineno}: {node.id}")

    def _attribute_expression(self, node: ast.Attribute, scope: Scope) -> Any:
        value = self.evaluate(node.value, scope)
        if isinstance(value, _Namespace):
            return value.read(node.attr)
        return self.attribute(value, node.attr)

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Any:
        value = self.evaluate(node.value, scope)
        if isinstance(value, Unknown):
            return value
        if value is typing.Literal and isinstance(node.slice, ast.Constant):
            return typing.Literal[node.slice.value]
        if isinstance(node.slice, ast.Slice):
            parts = (node.slice.lower, node.slice.upper, node.slice.step)
            bounds = [None if part is None else self.evaluate(part, scope) for part in parts]
            return value[slice(*bounds)]
        is_type = not isinstance(value, dict | list | tuple | str)
        index = self._type_arguments(node.slice, scope) if is_type else self.evaluate(node.slice, scope)
        if isinstance(index, Unknown):
            return index
        if isinstance(value, PackageClass):
            return (
                next((item for item in self.enum_members(value) if item.name == index), value)
                if self.is_enum(value)
                else value
            )
        try:
            return value[index]
        except KeyError:
            raise UnreadableError(f"there is no {index!r} among {', '.join(map(str, value))}") from None
        except TypeError:
            return Unknown(f"{scope.module.path}:{node.lineno}: {ast.unparse(node)[:80]}")

    def _type_arguments(self, node: ast.expr, scope: Scope) -> Any:
        if isinstance(node, ast.Tuple):
            found = tuple(self._items(node.elts, scope))
            return next((item for item in found if isinstance(item, Unknown)), found)
        return self.evaluate(node, scope)

    def _items(self, nodes: Sequence[ast.expr], scope: Scope) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found.extend(self.iterate(self.evaluate(node.value, scope)))
            else:
                found.append(self.evaluate(node, scope))
        return found

    def _dict(self, node: ast.Dict, scope: Scope) -> Any:
        found: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            evaluated = self.evaluate(value, scope)
            if key is not None:
                found[self.evaluate(key, scope)] = evaluated
            elif isinstance(evaluated, Unknown):
                return evaluated
            else:
                found.update(evaluated)
        return found

    def _call_expression(self, node: ast.Call, scope: Scope) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args:
            assert scope.owner is not None
            return _Super(scope.owner, next(iter(scope.names.values()), scope.owner))
        function = self.evaluate(node.func, scope)
        arguments = self._items(node.args, scope)
        keywords: dict[str, Any] = {}
        for item in node.keywords:
            value = self.evaluate(item.value, scope)
            if item.arg is not None:
                keywords[item.arg] = value
            elif isinstance(value, Unknown):
                raise UnreadableError(f"the keywords {ast.unparse(item.value)} depend on {value.reason}")
            else:
                keywords.update(value)
        if function in (list, tuple, sorted, set) and len(arguments) == 1 and not isinstance(arguments[0], Unknown):
            arguments = [self.iterate(arguments[0])]
        return self.call(function, arguments, keywords)

    def _binary(self, sign: ast.operator, left: Any, right: Any) -> Any:
        for side in (left, right):
            if isinstance(side, Unknown):
                return side
        if type(sign) not in _BINARY:
            return Unknown(f"the operator {type(sign).__name__}")
        try:
            return _BINARY[type(sign)](left, right)
        except TypeError as error:
            return Unknown(str(error))

    def _boolean(self, node: ast.BoolOp, scope: Scope) -> Any:
        stops_at = isinstance(node.op, ast.Or)
        value: Any = None
        for item in node.values:
            value = self.evaluate(item, scope)
            if isinstance(value, Unknown) or bool(value) is stops_at:
                return value
        return value

    def _unary(self, node: ast.UnaryOp, scope: Scope) -> Any:
        value = self.evaluate(node.operand, scope)
        if isinstance(value, Unknown):
            return value
        return not value if isinstance(node.op, ast.Not) else -value if isinstance(node.op, ast.USub) else value

    def _compare(self, node: ast.Compare, scope: Scope) -> Any:
        left = self.evaluate(node.left, scope)
        for sign, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(right_node, scope)
            if dataclasses.MISSING not in (left, right):
                for side in (left, right):
                    if isinstance(side, Unknown):
                        return side
            if not _COMPARE[type(sign)](left, right):
                return False
            left = right
        return True

    def _text(self, node: ast.JoinedStr, scope: Scope) -> Any:
        parts: list[str] = []
        for item in node.values:
            value = self.evaluate(item.value if isinstance(item, ast.FormattedValue) else item, scope)
            if isinstance(value, Unknown):
                return value
            parts.append(str(value))
        return "".join(parts)

    def _comprehend(self, generators: Sequence[ast.comprehension], scope: Scope) -> Iterator[Scope]:
        if not generators:
            yield scope
            return
        first, *rest = generators
        for item in self.iterate(self.evaluate(first.iter, scope)):
            inner = Scope(scope.module, {}, scope, scope.owner)
            self._assign(first.target, item, inner)
            if all(self.truth(test, inner) for test in first.ifs):
                yield from self._comprehend(rest, inner)


@dataclass(frozen=True)
class _Namespace:
    """A module of another package, as `import module` binds it."""

    name: str
    evaluator: Evaluator

    def read(self, name: str) -> Any:
        return self.evaluator.imported(self.name, name)


@dataclass(frozen=True)
class _Super:
    owner: PackageClass
    bound: Any


_HIGHER_ORDER = (map, filter)


@takes_unknown
def _isinstance(value: Any, classes: Any) -> Any:
    if isinstance(value, Unknown):
        return False if classes is PydanticField else value
    return isinstance(value, classes)


def _field(**keywords: Any) -> FieldSpec:
    default, factory = (keywords.get(name, dataclasses.MISSING) for name in ("default", "default_factory"))
    return FieldSpec("", None, default, factory, keywords.get("init", True))


def _pydantic_field(default: Any = dataclasses.MISSING, **keywords: Any) -> PydanticField:
    return PydanticField(default, keywords.get("default_factory"), keywords.get("init"))


def _absolute(statement: ast.ImportFrom, module: Module) -> str:
    if not statement.level:
        return statement.module or ""
    parts = module.name.split(".")
    kept = parts[: len(parts) - statement.level + (1 if module.is_package else 0)]
    return ".".join([*kept, *([statement.module] if statement.module else [])])


def _describe(value: Any) -> str:
    if isinstance(value, Unknown):
        return value.reason
    if isinstance(value, Function):
        return f"{value.name} ({value.where})"
    return getattr(value, "__name__", None) or repr(value)[:80]
