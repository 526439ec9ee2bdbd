"""Whether a tag may be released."""

from pathlib import Path

import pytest

from tools.check_release import REPOSITORY, problems

CHANGELOG = "# Changelog\n\n## [Unreleased]\n{unreleased}\n## [1.2.0] - 2026-11-24\n\n* `plan_stack` is faster.\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "gke_llm_inference").mkdir()
    (tmp_path / "gke_llm_inference" / "version.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG.format(unreleased=""))
    (tmp_path / "policy-pack").mkdir()
    (tmp_path / "policy-pack" / "PulumiPolicy.yaml").write_text("description: Policies\nversion: 1.2.0\n")
    surfaces = tmp_path / "tests" / "package"
    surfaces.mkdir(parents=True)
    for name in ("surface.json", "surface-released.json"):
        (surfaces / name).write_text("{}\n")
    return tmp_path


def test_a_tag_of_the_version_with_its_section_is_released(repository: Path) -> None:
    assert problems("v1.2.0", repository) == []


def test_another_tag_is_not(repository: Path) -> None:
    assert problems("v1.3.0", repository) == [
        "the tag is v1.3.0, gke_llm_inference/version.py says 1.2.0; a tag is v1.2.0"
    ]


@pytest.mark.parametrize(("text", "said"), [("version: 1.1.0\n", "1.1.0"), ("description: a\n", "no version")])
def test_the_policy_pack_has_the_version_too(text: str, said: str, repository: Path) -> None:
    (repository / "policy-pack" / "PulumiPolicy.yaml").write_text(text)
    assert problems("v1.2.0", repository) == [
        f"policy-pack/PulumiPolicy.yaml says {said}; the package's version is 1.2.0"
    ]


def test_all_problems_come_together(repository: Path) -> None:
    text = CHANGELOG.format(unreleased="\n* Something.\n").replace(" - 2026-11-24", "")
    (repository / "CHANGELOG.md").write_text(text)
    (repository / "tests" / "package" / "surface.json").write_text('{"names": {}}\n')
    assert problems("1.2.0", repository) == [
        "the tag is 1.2.0, gke_llm_inference/version.py says 1.2.0; a tag is v1.2.0",
        "CHANGELOG.md has no section `## [1.2.0] - YYYY-MM-DD`; give it one",
        "CHANGELOG.md has entries under [Unreleased]; move them to the section of the version",
        "tests/package/surface-released.json is not today's surface; copy surface.json over it",
    ]


def test_it_reads_this_repository() -> None:
    assert not [problem for problem in problems("v0.0.0", REPOSITORY) if "PulumiPolicy" in problem]
    assert all(isinstance(problem, str) for problem in problems("v0.0.0", REPOSITORY))
