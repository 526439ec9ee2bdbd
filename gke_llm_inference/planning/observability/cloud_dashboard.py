"""A dashboard of Cloud Monitoring, as its API takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gke_llm_inference.planning.observability.panels import Panel, Row, Unit

_COLUMNS = 48
_WIDTH = 16
_HEIGHT = 12
# UCUM, as the API takes units; braces are words of ours.
_UNITS: dict[Unit, str] = {
    "requests": "{request}",
    "percent": "%",
    "seconds": "s",
    "tokens/s": "{token}/s",
    "per minute": "1/min",
    "requests/s": "{request}/s",
    "replicas": "{replica}",
    "USD/h": "{USD}/h",
    "USD": "{USD}",
}


def cloud_dashboard(title: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The dashboard with a section for each row, its charts three side by side."""
    tiles: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        charts = list(_charts(row, top))
        height = -(-len(charts) // (_COLUMNS // _WIDTH)) * _HEIGHT
        # A section is a tile that covers its charts.
        tiles += [_tile(0, top, _COLUMNS, height, {"title": row.title, "collapsibleGroup": {}})]
        tiles += charts
        top += height
    return {"displayName": title, "mosaicLayout": {"columns": _COLUMNS, "tiles": tiles}}


def _charts(row: Row, top: int) -> Iterator[dict[str, Any]]:
    for index, panel in enumerate(row.panels):
        down, right = divmod(index, _COLUMNS // _WIDTH)
        yield _tile(right * _WIDTH, top + down * _HEIGHT, _WIDTH, _HEIGHT, _chart(panel))


def _tile(left: int, top: int, width: int, height: int, widget: dict[str, Any]) -> dict[str, Any]:
    # The API answers without what is 0, false or empty; sent, it would be a difference for ever.
    corner = {key: value for key, value in (("xPos", left), ("yPos", top)) if value}
    return {**corner, "width": width, "height": height, "widget": widget}


def _chart(panel: Panel) -> dict[str, Any]:
    thresholds = [{"label": one.name, "targetAxis": "Y1", "value": one.value} for one in panel.thresholds]
    return {
        "title": panel.title,
        "xyChart": {
            "chartOptions": {"mode": "COLOR"},
            "dataSets": [
                {
                    "legendTemplate": line.name,
                    "plotType": "LINE",
                    "targetAxis": "Y1",
                    "timeSeriesQuery": {"prometheusQuery": line.query, "unitOverride": _UNITS[panel.unit]},
                }
                for line in panel.lines
            ],
            **({"thresholds": thresholds} if thresholds else {}),
            "yAxis": {"scale": "LINEAR"},
        },
    }
