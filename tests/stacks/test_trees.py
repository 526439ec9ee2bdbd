"""Golden trees of the repository's stacks, and the same bytes on every run."""

import json
from pathlib import Path

import pytest

from gke_llm_inference.preview.manifests import manifests_of
from gke_llm_inference.preview.render import render_text
from gke_llm_inference.preview.write import to_json
from tests.support import Recordings, expect_golden, files_below, preview_command

GOLDEN = Path(__file__).with_name("golden")

COUNTS = {"dev": 22, "staging": 30, "prod": 54, "local": 11}


def tree_of(text: str) -> str:
    """The tree in the text of a preview: from its first line to the empty line behind it."""
    _, _, rest = text.partition("\n\n")
    tree, _, _ = rest.partition("\n\n")
    return tree + "\n"


def test_the_tree_is_the_golden_one(recordings: Recordings, stack: str) -> None:
    recording = recordings.stack(stack)
    text = render_text(recording)
    assert text.startswith(f"gke-llm-inference/{stack}: {COUNTS[stack]} resources")
    expect_golden(GOLDEN / f"{stack}.tree.txt", tree_of(text))


def test_the_resources_are_the_golden_ones(recordings: Recordings, stack: str) -> None:
    recording = recordings.stack(stack)
    types = {resource.urn: resource.type for resource in recording.resources}
    assert len(types) == COUNTS[stack]
    expect_golden(GOLDEN / f"{stack}.resources.json", json.dumps(types, indent=2, sort_keys=True) + "\n")


def test_two_runs_write_the_same_bytes(recordings: Recordings, stack: str, tmp_path: Path) -> None:
    recording = recordings.stack(stack)
    ended = preview_command(["--stack", stack, "--out", tmp_path / "out", "--json"])
    assert ended.returncode == 0, ended.stderr
    expected = {"resources.json": to_json(recording.as_dict()).encode()}
    expected |= {f"manifests/{manifest.file_name}": manifest.text.encode() for manifest in manifests_of(recording)}
    assert files_below(tmp_path / "out") == expected
    document = json.loads(ended.stdout)
    assert document["resourceCount"] == COUNTS[stack]
    assert document["resources"] == json.loads(expected["resources.json"])["resources"]
    assert document["exports"] == recording.exports


@pytest.mark.parametrize(
    ("stack", "servers"),
    [
        ("dev", ["gemma"]),
        ("staging", ["gemma-tgi", "gemma-vllm"]),
        ("prod", ["gemma", "qwen-14b"]),
        ("local", ["gemma"]),
    ],
)
def test_a_stack_exports_the_addresses_of_its_servers(recordings: Recordings, stack: str, servers: list[str]) -> None:
    exports = recordings.stack(stack).exports
    assert exports["namespace"] == "llm-inference"
    assert exports["servers"] == {name: f"http://{name}.llm-inference.svc.cluster.local:8000" for name in servers}
