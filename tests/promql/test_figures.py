"""The pictures of docs/observability.md are what the queries answer; UPDATE_GOLDEN=1 draws them anew."""

import os
from pathlib import Path

import pytest

from gke_llm_inference.catalog import ServerKind, load_catalog
from tests.promql.figures import draw
from tests.promql.watched import Shown, row
from tests.support import REPOSITORY, UPDATE

PHASES = (
    (0, 60, "idle"),
    (60, 90, "more and more requests"),
    (90, 120, "a steady load"),
    (120, 128, "more than the replicas serve"),
    (128, 180, "less again, after the queue"),
    (180, 240, "idle"),
)


@pytest.mark.parametrize(("kind", "version"), [("vllm", "0.33.0"), ("tgi", "3.3.7")])
def test_a_picture_is_what_the_queries_answer(kind: ServerKind, version: str, shown: Shown, tmp_path: Path) -> None:
    committed = REPOSITORY / "docs" / "images" / f"dashboard-{kind}.svg"
    path = committed if os.environ.get(UPDATE) == "1" else tmp_path / committed.name
    path.parent.mkdir(exist_ok=True)
    title = f"two replicas of {load_catalog().servers[kind].title} {version}"
    draw(path, title, row(kind, version).panels, shown(kind, version), PHASES)
    assert path.read_text("utf-8") == committed.read_text("utf-8"), f"draw it anew with {UPDATE}=1"
