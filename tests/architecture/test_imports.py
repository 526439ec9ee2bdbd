"""Which package may import which: the table of docs/architecture.md, held against every import."""

import graphlib
import inspect
import re
import tomllib

import pytest

from gke_llm_inference.planning import plan, stages, steps
from tests.architecture.imports import REPOSITORY, files, imports_of, package_of

PAGE = REPOSITORY / "docs" / "architecture.md"
_ROW = re.compile(r"^\| `(?P<package>[\w.-]+)` \| .* \|(?P<allowed>[^|]*)\|$", re.MULTILINE)
_NAME = re.compile(r"`([\w.-]+)`")


def table() -> dict[str, list[str]]:
    """The packages that each package may import, in the table's order."""
    section = PAGE.read_text("utf-8").partition("## Which package may import which\n")[2].partition("\n## ")[0]
    return {row["package"]: _NAME.findall(row["allowed"]) for row in _ROW.finditer(section)}


def test_the_table_names_every_package() -> None:
    assert sorted(table()) == sorted({package_of(module) for module in files()})


def test_a_package_may_import_only_what_is_above_it_in_the_table() -> None:
    order = list(table())
    upward = {
        f"{package} -> {allowed}"
        for package, names in table().items()
        for allowed in names
        if order.index(allowed) >= order.index(package)
    }
    assert upward == set()


@pytest.mark.parametrize("package", table())
def test_a_package_imports_exactly_what_the_table_allows(package: str) -> None:
    found = {
        package_of(imported)
        for module in files()
        if package_of(module) == package
        for imported in imports_of(module)
        if package_of(imported) != package
    }
    assert found - set(table()[package]) == set(), "imports what it may not"
    assert set(table()[package]) - found == set(), "may import what it does not"


def test_no_module_imports_itself_over_others() -> None:
    graphlib.TopologicalSorter({module: imports_of(module) for module in files()}).prepare()


def test_components_import_one_another_relatively() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (REPOSITORY / "components").glob("*.py"))
    assert re.findall(r"^\s*(?:from|import) (?:gke_llm_inference\.)?components\b.*", text, re.MULTILINE) == []


def test_the_table_of_steps_is_the_code() -> None:
    section = PAGE.read_text("utf-8").partition("\n## Planning\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(\w+)` \|$", section, re.MULTILINE)
    shown = re.search(r"^    (\w+(?: → \w+)+)$", section, re.MULTILINE)
    assert shown is not None
    assert [step for step, _ in rows] == shown[1].split(" → ")
    for step, result in rows:
        stated = inspect.signature(getattr(steps, step)).return_annotation
        assert result in re.findall(r"\w+", stated if isinstance(stated, str) else repr(stated)), step
        assert inspect.isclass(getattr(stages, result, None) or getattr(plan, result)), result


def test_every_package_of_the_checkout_is_listed_for_the_wheel() -> None:
    listed = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(REPOSITORY).parts)
        for path in (REPOSITORY / "gke_llm_inference").rglob("__init__.py")
    }
    assert listed == found
