"""Prints since which vLLM version the catalog's models have a class, for `catalog/servers/loading.yaml`.

`python -m tools.extract_loading WHEEL...` reads the registries of models in packages of vLLM, without importing them.
"""

import argparse
import ast
import re
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.version import Version

from gke_llm_inference.catalog import load_catalog

# The registry has a module of its own since 0.6.3.
_REGISTRIES = ("vllm/model_executor/models/registry.py", "vllm/model_executor/models/__init__.py")
_VERSION = re.compile(r"vllm-(\d+\.\d+\.\d+)")


def registered(wheel: Path) -> frozenset[str]:
    """Classes of models that the registry of a package has: the keys of its dictionaries.

    Raises:
        KeyError: the package has no registry.

    """
    with zipfile.ZipFile(wheel) as package:
        present = set(package.namelist())
        source = package.read(next(name for name in _REGISTRIES if name in present))
    found = set()
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        name = target.id if isinstance(target, ast.Name) else ""
        if name.endswith("MODELS") and "PREVIOUSLY" not in name and isinstance(value, ast.Dict):
            found |= {key.value for key in value.keys if isinstance(key, ast.Constant)}
    return frozenset(str(name) for name in found)


def rows(classes: Iterable[str], by_version: Mapping[str, frozenset[str]]) -> list[str]:
    """A line for each class, sorted: the oldest version that has it, and the newest where the last has not."""
    versions = sorted(by_version, key=Version)
    lines = []
    for name in sorted(classes):
        having = [version for version in versions if name in by_version[version]]
        if not having:
            continue
        until = f", until: {having[-1]}" if having[-1] != versions[-1] else ""
        lines.append(f"    {name}: {{since: {having[0]}{until}}}\n")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description="Print since which vLLM version models have a class.")
    parser.add_argument("wheels", nargs="+", type=Path, help="packages of vLLM")
    given = parser.parse_args(arguments)
    by_version = {}
    for wheel in given.wheels:
        version = _VERSION.match(wheel.name)
        if version is None:
            sys.stderr.write(f"{wheel.name} is not a package of vLLM\n")
            return 1
        by_version[version[1]] = registered(wheel)
    classes = {model.loaded_as for model in load_catalog().models.values()}
    sys.stdout.writelines(rows(classes, by_version))
    return 0


if __name__ == "__main__":
    sys.exit(main())
