"""The JSON for Grafana is a dashboard by the types that Grafana publishes."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference.planning.observability.grafana import grafana_dashboard
from tests.promql.watched import row

PROJECT = Path(__file__).parent / "grafana"
Problems = Callable[[dict[str, Any]], list[str]]


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Problems:
    """What TypeScript's compiler says of a dashboard."""
    directory = tmp_path_factory.mktemp("types") / "project"
    shutil.copytree(PROJECT, directory, ignore=shutil.ignore_patterns("node_modules"))
    npm = shutil.which("npm")
    assert npm is not None, "the types come with npm; put Node.js on PATH"
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=directory, check=True)

    def of(dashboard: dict[str, Any]) -> list[str]:
        panels = dashboard["panels"]
        parts = {
            "Around": {key: value for key, value in dashboard.items() if key != "panels"},
            "Row[]": [one for one in panels if one["type"] == "row"],
            "TimeSeries[]": [one for one in panels if one["type"] != "row"],
        }
        lines = ['import type { Around, Row, TimeSeries } from "./types.js";']
        lines += [f"export const part{n}: {kind} = {json.dumps(part)};" for n, (kind, part) in enumerate(parts.items())]
        (directory / "dashboard.ts").write_text("\n".join(lines), "utf-8")
        compiler = directory / "node_modules" / ".bin" / "tsc"
        ended = subprocess.run(
            [compiler, "-p", directory, "--pretty", "false"], capture_output=True, text=True, check=False
        )
        return ended.stdout.splitlines()

    return of


@pytest.fixture
def dashboard() -> dict[str, Any]:
    return grafana_dashboard("chat", [row("vllm", "0.33.0"), row("tgi", "3.3.7")])


def test_a_dashboard_has_no_problem(problems: Problems, dashboard: dict[str, Any]) -> None:
    assert problems(dashboard) == []


def test_what_no_type_knows_is_a_problem(problems: Problems, dashboard: dict[str, Any]) -> None:
    _, panel, *_ = dashboard["panels"]
    panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "scribble"
    panel["targets"][0]["legend"] = "running"
    del dashboard["schemaVersion"]
    told = "\n".join(problems(dashboard))
    for words in ('"scribble"', "'legend' does not exist", "'schemaVersion' is missing"):
        assert words in told.replace("'\"legend\"'", "'legend'")
