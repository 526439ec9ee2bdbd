"""Both dashboards have every panel, and what the API of Cloud Monitoring takes is its own message."""

from itertools import combinations
from typing import Any

import pytest
from google.protobuf import json_format

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


def message(dashboard: dict[str, Any]) -> Any:
    """The dashboard as the API's own message; a field or a value that it does not have raises."""
    from google.cloud.monitoring_dashboard_v1.types import Dashboard

    return json_format.ParseDict(dashboard, Dashboard.pb(Dashboard()))


def test_cloud_monitoring_takes_the_dashboard(rows: list[Row]) -> None:
    told = message(cloud_dashboard("prod", rows))
    charts = [tile.widget for tile in told.mosaic_layout.tiles if tile.widget.HasField("xy_chart")]
    assert [chart.title for chart in charts] == [panel.title for row in rows for panel in row.panels]
    for chart, panel in zip(charts, (panel for row in rows for panel in row.panels), strict=True):
        drawn = [(one.legend_template, one.time_series_query.prometheus_query) for one in chart.xy_chart.data_sets]
        assert drawn == [(line.name, line.query) for line in panel.lines]
    [objective] = [one for chart in charts for one in chart.xy_chart.thresholds]
    assert (objective.label, objective.value) == ("objective of p95", 0.5)


def test_a_field_that_the_api_does_not_have_is_refused(rows: list[Row]) -> None:
    dashboard = cloud_dashboard("prod", rows)
    dashboard["mosaicLayout"]["tiles"][1]["widget"]["xyChart"]["dataSets"][0]["legend"] = "running"
    with pytest.raises(json_format.ParseError, match='no field named "legend"'):
        message(dashboard)


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def is_inside(chart: dict[str, Any], section: dict[str, Any]) -> bool:
    top, bottom = section["yPos"], section["yPos"] + section["height"]
    return bool(top <= chart["yPos"] and chart["yPos"] + chart["height"] <= bottom)


def test_no_tile_lies_on_another(rows: list[Row]) -> None:
    tiles = cloud_dashboard("prod", rows)["mosaicLayout"]["tiles"]
    charts = [tile for tile in tiles if "xyChart" in tile["widget"]]
    sections = [tile for tile in tiles if "collapsibleGroup" in tile["widget"]]
    for some in (charts, sections):
        places = [(one["xPos"], one["yPos"], one["width"], one["height"]) for one in some]
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
