"""The imports of the repository's Python files, read without running them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_FOLDERS = ("benchmarks", "components", "gke_llm_inference", "local", "policy-pack", "provider", "tools")
_WITH_ROOMS = ("gke_llm_inference", "local")
"""Packages whose own packages have rules of their own."""


@cache
def files() -> dict[str, Path]:
    """Every file of the repository but tests and examples, by the name of its module."""
    found = [REPOSITORY / "__main__.py"]
    for folder in _FOLDERS:
        found += sorted((REPOSITORY / folder).rglob("*.py"))
    return {_module(path): path for path in found}


def package_of(module: str) -> str:
    """The package of a module as the table of docs/architecture.md names it."""
    first, _, rest = module.partition(".")
    second = rest.partition(".")[0]
    return f"{first}.{second}" if first in _WITH_ROOMS and second else first


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules of the repository that a module imports, wherever in it."""
    path = files()[module]
    tree = ast.parse(path.read_text("utf-8"), str(path))
    return frozenset(_imported(tree, module, path)) & files().keys() - {module}


def _imported(tree: ast.AST, module: str, path: Path) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in files() else base


def _module(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
