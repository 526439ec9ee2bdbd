"""Every example: a topic's stack files preview offline, and a program in another language is a project of its own."""

from pathlib import Path

import pytest

from gke_llm_inference.preview.recording import Severity
from tests.support import INFERENCE_SERVER, REPOSITORY, Recordings, of_type

EXAMPLES = REPOSITORY / "examples"
TOPICS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
PROJECTS = [path.parent for path in sorted(EXAMPLES.rglob("Pulumi.yaml"))]
STACK_FILES = [
    path
    for path in sorted(EXAMPLES.rglob("Pulumi.*.yaml"))
    if path.parent not in PROJECTS and path.name != "Pulumi.yaml"
]


def test_a_topic_is_a_folder_of_stack_files_or_of_projects_and_has_a_readme() -> None:
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file()] == []
    for topic in TOPICS:
        assert (topic / "README.md").is_file(), topic.name
        below = {path.parent for path in [*STACK_FILES, *PROJECTS] if topic in path.parents or topic == path}
        assert below, topic.name
    assert {path.parent.parent for path in STACK_FILES} == {EXAMPLES}


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_stack_file_previews(path: Path, recordings: Recordings) -> None:
    recording = recordings.file(path)
    assert recording.stack == path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    assert recording.messages(Severity.ERROR) == ()
    assert len(of_type(recording, INFERENCE_SERVER)) == len(recording.exports["servers"])


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_stack_file_names_the_schema_for_editors(path: Path) -> None:
    first = path.read_text("utf-8").partition("\n")[0]
    schema = first.partition("$schema=")[2]
    assert (path.parent / schema).resolve() == REPOSITORY / "schemas" / "stack.schema.json"
