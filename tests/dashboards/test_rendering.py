"""Both dashboards have every panel, and what the API of Cloud Monitoring takes is its own message."""

import json
import subprocess
import sys
from itertools import combinations
from typing import Any

import pytest

from gke_llm_inference.planning.observability.cloud_dashboard import cloud_dashboard
from gke_llm_inference.planning.observability.grafana import grafana_dashboard
from gke_llm_inference.planning.observability.panels import Row, row_of
from gke_llm_inference.settings import LatencyObjective, ObjectiveSettings
from tests.dashboards.test_panels import CATALOG, watched


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    objectives = ObjectiveSettings(ttft=LatencyObjective(milliseconds=500))
    return [
        row_of(watched(objectives=objectives, usd_per_replica_hour=0.7, gpu_metrics=CATALOG.gpu_metrics)),
        row_of(watched("tgi", "3.3.7")),
        row_of(watched(version="0.6.0")),
    ]


# In a process of its own: Pulumi's SDK and Google's packages each register google.rpc.Status.
_CHECK = """
import json, sys
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.protobuf import json_format
for dashboard in json.load(sys.stdin):
    try:
        told = json_format.MessageToDict(json_format.ParseDict(dashboard, Dashboard.pb(Dashboard())))
    except json_format.ParseError as error:
        told = str(error)
    print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def answers(rows: list[Row]) -> list[Any]:
    """What the API's own message makes of a dashboard, and of one with a field that it does not have."""
    dashboard, wrong = cloud_dashboard("prod", rows), cloud_dashboard("prod", rows)
    wrong["mosaicLayout"]["tiles"][1]["widget"]["xyChart"]["dataSets"][0]["legend"] = "running"
    asked = json.dumps([dashboard, wrong])
    ended = subprocess.run([sys.executable, "-c", _CHECK], input=asked, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_the_api_answers_with_what_it_was_sent(rows: list[Row], answers: list[Any]) -> None:
    assert answers[0] == cloud_dashboard("prod", rows)


def test_a_field_that_the_api_does_not_have_is_refused(answers: list[Any]) -> None:
    assert 'no field named "legend"' in answers[1]


def test_cloud_monitoring_has_every_panel(rows: list[Row]) -> None:
    tiles = cloud_dashboard("prod", rows)["mosaicLayout"]["tiles"]
    charts = [tile["widget"] for tile in tiles if "xyChart" in tile["widget"]]
    panels = [panel for row in rows for panel in row.panels]
    assert [chart["title"] for chart in charts] == [panel.title for panel in panels]
    for chart, panel in zip(charts, panels, strict=True):
        drawn = [
            (one["legendTemplate"], one["timeSeriesQuery"]["prometheusQuery"]) for one in chart["xyChart"]["dataSets"]
        ]
        assert drawn == [(line.name, line.query) for line in panel.lines]
    [objective] = [one for chart in charts for one in chart["xyChart"].get("thresholds", ())]
    assert (objective["label"], objective["value"]) == ("objective of p95", 0.5)


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def is_inside(chart: dict[str, Any], section: dict[str, Any]) -> bool:
    top, first = section.get("yPos", 0), chart.get("yPos", 0)
    return bool(top <= first and first + chart["height"] <= top + section["height"])


def test_no_tile_lies_on_another(rows: list[Row]) -> None:
    tiles = cloud_dashboard("prod", rows)["mosaicLayout"]["tiles"]
    charts = [tile for tile in tiles if "xyChart" in tile["widget"]]
    sections = [tile for tile in tiles if "collapsibleGroup" in tile["widget"]]
    for some in (charts, sections):
        places = [(one.get("xPos", 0), one.get("yPos", 0), one["width"], one["height"]) for one in some]
        assert not any(overlap(a, b) for a, b in combinations(places, 2))
        assert all(left + width <= 48 for left, _, width, _ in places)
    # Each section has the charts of its row, whole.
    assert [section["widget"]["title"] for section in sections] == [row.title for row in rows]
    inside = [sum(is_inside(chart, section) for chart in charts) for section in sections]
    assert inside == [len(row.panels) for row in rows]


def test_grafana_has_the_same_panels(rows: list[Row]) -> None:
    panels = grafana_dashboard("prod", rows)["panels"]
    assert [one["id"] for one in panels] == list(range(1, len(panels) + 1))
    places = [tuple(one["gridPos"][key] for key in "xywh") for one in panels]
    assert not any(overlap(a, b) for a, b in combinations(places, 2))
    assert all(left + width <= 24 for left, _, width, _ in places)
    drawn = [
        (one["title"], [(target["legendFormat"], target["expr"]) for target in one.get("targets", ())])
        for one in panels
    ]
    expected: list[tuple[str, list[tuple[str, str]]]] = []
    for row in rows:
        expected.append((row.title, []))
        expected += [(panel.title, [(line.name, line.query) for line in panel.lines]) for panel in row.panels]
    assert drawn == expected


def test_an_objective_is_a_dashed_line_that_is_explained(rows: list[Row]) -> None:
    panel = next(one for one in grafana_dashboard("prod", rows)["panels"] if one["title"] == "Time to first token")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["custom"]["thresholdsStyle"] == {"mode": "dashed"}
    assert defaults["thresholds"]["steps"] == [{"color": "green", "value": None}, {"color": "red", "value": 0.5}]
    assert panel["description"] == (
        "From a request's arrival to its first token: queue and prefill. The dashed line is the objective of p95."
    )


def test_a_dashboard_is_found_by_one_id_whatever_it_is_called() -> None:
    assert grafana_dashboard("gke-llm-inference prod", [])["uid"] == "gke-llm-inference-prod-a4d2d849"
    assert len(grafana_dashboard("x" * 200, [])["uid"]) == 40
