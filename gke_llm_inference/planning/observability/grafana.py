"""A dashboard of Grafana, as its import takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gke_llm_inference.planning.names import dns_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gke_llm_inference.planning.observability.panels import Panel, Row, Unit

_COLUMNS = 24
_WIDTH = 8
_HEIGHT = 8
_MOST_UID = 40
# The schema of Grafana 11 and 12; later ones read it.
_SCHEMA_VERSION = 41
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_UNITS: dict[Unit, str] = {
    "requests": "short",
    "percent": "percent",
    "seconds": "s",
    "tokens/s": "cps",
    "per minute": "cpm",
    "requests/s": "reqps",
    "replicas": "short",
    "USD/h": "currencyUSD",
    "USD": "currencyUSD",
}


def grafana_dashboard(title: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The dashboard with a row for each of these, its panels three side by side, and a choice of the data source."""
    return {
        "editable": True,
        "graphTooltip": 1,
        "panels": list(_numbered(rows)),
        "refresh": "1m",
        "schemaVersion": _SCHEMA_VERSION,
        "tags": ["gke-llm-inference"],
        "templating": {
            "list": [{"label": "Data source", "name": "datasource", "query": "prometheus", "type": "datasource"}]
        },
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "title": title,
        "uid": dns_label(title, _MOST_UID),
    }


def _numbered(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {
            "collapsed": False,
            "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": top},
            "id": number,
            "panels": [],
            "title": row.title,
            "type": "row",
        }
        top += 1
        for index, panel in enumerate(row.panels):
            number += 1
            down, right = divmod(index, _COLUMNS // _WIDTH)
            place = {"h": _HEIGHT, "w": _WIDTH, "x": right * _WIDTH, "y": top + down * _HEIGHT}
            yield {"gridPos": place, "id": number, **_panel(panel)}
        top += -(-len(row.panels) // (_COLUMNS // _WIDTH)) * _HEIGHT


def _panel(panel: Panel) -> dict[str, Any]:
    steps = [{"color": "red", "value": one.value} for one in panel.thresholds]
    told = "; ".join(f"the dashed line is the {one.name}" for one in panel.thresholds)
    return {
        "datasource": _SOURCE,
        "description": f"{panel.what} {told[0].upper()}{told[1:]}." if told else panel.what,
        "fieldConfig": {
            "defaults": {
                "custom": {
                    "drawStyle": "line",
                    "fillOpacity": 8,
                    "lineWidth": 2,
                    "showPoints": "never",
                    "thresholdsStyle": {"mode": "dashed" if steps else "off"},
                },
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}, *steps]},
                "unit": _UNITS[panel.unit],
            },
            "overrides": [],
        },
        "options": {
            "legend": {
                "calcs": ["lastNotNull", "max"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "none"},
        },
        "targets": [
            {
                "datasource": _SOURCE,
                "editorMode": "code",
                "expr": line.query,
                "legendFormat": line.name,
                "range": True,
                "refId": chr(ord("A") + index),
            }
            for index, line in enumerate(panel.lines)
        ],
        "title": panel.title,
        "type": "timeseries",
    }
