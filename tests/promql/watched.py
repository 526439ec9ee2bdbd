"""A server that is watched for a day, beside others that are not meant."""

from collections.abc import Callable
from functools import cache

from gke_llm_inference.catalog import ServerKind, load_catalog
from gke_llm_inference.planning.observability.panels import Row, Watched, row_of
from gke_llm_inference.planning.observability.queries import Metrics, matching, matching_pods
from gke_llm_inference.settings import LatencyObjective, ObjectiveSettings
from tests.promql.engine import Engine, Line
from tests.promql.exposed import exposed
from tests.promql.traffic import LENGTH, day

LABELS = {"cluster": "prod", "namespace": "inference", "job": "chat", "pod": "chat"}
PRICE = 0.7

Shown = Callable[[ServerKind, str], dict[tuple[str, str], Line]]
"""The lines of a server's panels, by the titles of these and the names of those."""


def row(kind: ServerKind, version: str) -> Row:
    catalog = load_catalog()
    return row_of(
        Watched(
            server="chat",
            title="chat",
            metrics=Metrics(
                facts=catalog.metrics[kind],
                version=version,
                selector=matching(cluster="prod", namespace="inference", job="chat"),
            ),
            objectives=ObjectiveSettings(
                ttft=LatencyObjective(percentile=90, milliseconds=500), tpot=LatencyObjective(milliseconds=60)
            ),
            usd_per_replica_hour=PRICE,
            gpu_metrics=catalog.gpu_metrics,
            gpu_selector=matching_pods("chat", "prod"),
        )
    )


def answers(engine: Engine) -> Shown:
    """What every query of a server's panels shows of the day."""

    @cache
    def of(kind: ServerKind, version: str) -> dict[tuple[str, str], Line]:
        queries = {(panel.title, line.name): line.query for panel in row(kind, version).panels for line in panel.lines}
        catalog = load_catalog()
        series = exposed(kind, version, LABELS, day, LENGTH, catalog)
        # Another server of the namespace, and one of the same name elsewhere, which no panel may count.
        for other in ({"job": "chat-large", "pod": "chat-large"}, {"cluster": "staging"}):
            series += exposed(kind, version, LABELS | other, _steady, LENGTH, catalog)
        # Every query has one line.
        found = zip(queries, engine.ask(series, list(queries.values()), LENGTH), strict=True)
        return {key: line for key, [line] in found}

    return of


def _steady(_second: int) -> float:
    return 3.0
