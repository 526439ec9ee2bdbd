"""Predicted starts beside those that others measured: the page has today's predictions, which err on the long side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.planning.support import CATALOG
from tests.support import REPOSITORY
from tools.startup_accuracy import accuracy_table, predicted

if TYPE_CHECKING:
    from gke_llm_inference.catalog.facts import MeasuredStart

MEASURED = CATALOG.startup.measured


def test_the_page_has_the_table_of_today() -> None:
    assert accuracy_table(CATALOG) in (REPOSITORY / "docs" / "startup.md").read_text("utf-8")


def test_the_published_baseline_and_streaming_are_among_them() -> None:
    found = {(one.image_seconds, one.seconds) for one in MEASURED if one.version == "0.19.1"}
    assert found == {(214, 409), (4, 199)}


@pytest.mark.parametrize("start", MEASURED, ids=lambda one: f"{one.version} {one.title}")
def test_a_plan_is_never_too_short_and_at_most_three_fifths_too_long(start: MeasuredStart) -> None:
    image, rest = predicted(start, CATALOG)
    assert start.image_seconds <= image <= start.image_seconds + 30
    assert start.seconds <= image + rest <= 1.6 * start.seconds


def test_a_better_path_is_planned_faster() -> None:
    whole, streamed, *_ = MEASURED
    assert sum(predicted(streamed, CATALOG)) < sum(predicted(whole, CATALOG))
