"""What collectors would have read of a server under a load: its series, as its version exposes them."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from gke_llm_inference.catalog import Catalog, ServerKind
from gke_llm_inference.catalog.metric_facts import Concept
from tests.promql.engine import STEP, Series
from tests.promql.traffic import MEASURES, Measure, Replica, passing

# vllm/v1/metrics/buckets.py of vLLM 0.33.0.
_WHOLE = "0.3 0.5 0.8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680"
_FIRST = "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 20 40 80 160 640 2560"
_TOKEN = "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1 2.5 5 7.5 10 20 40 80"
_VLLM: dict[Measure, tuple[float, ...]] = {
    "ttft": tuple(map(float, _FIRST.split())),
    "token": tuple(map(float, _TOKEN.split())),
    "whole": tuple(map(float, _WHOLE.split())),
    "queue": tuple(map(float, _WHOLE.split())),
}
# router/src/server.rs of TGI 3.3.7: each 1.5 times the one before.
_TGI = tuple(0.0001 * 1.5**power for power in range(1, 36))
_CONCEPTS: dict[Concept, Measure] = {
    "timeToFirstToken": "ttft",
    "interTokenLatency": "token",
    "timePerOutputToken": "token",
    "endToEnd": "whole",
    "queueTime": "queue",
}
"""What each histogram is made of. Tokens of a request come evenly here, so both times of a token are the same."""


@dataclass(frozen=True)
class Scrape:
    """What one replica exposes at a moment: values by concept, and how often each latency was in each bucket."""

    values: Mapping[Concept, float]
    buckets: Mapping[Measure, tuple[int, ...]]
    sums: Mapping[Measure, float]
    busy: float
    kv_cache: float


def bounds_of(kind: ServerKind, measure: Measure) -> tuple[float, ...]:
    """The buckets of a server's histogram."""
    return _VLLM[measure] if kind == "vllm" else _TGI


@cache
def scraped(kind: ServerKind, arrivals: Callable[[int], float], seconds: int) -> tuple[tuple[Scrape, ...], ...]:
    """What a scrape of every step finds of each replica."""
    bounds = {one: bounds_of(kind, one) for one in MEASURES}
    counts: list[dict[Measure, list[float]]] = []
    sums: list[dict[Measure, float]] = []
    scrapes: list[list[Scrape]] = []
    for second, replicas in enumerate(passing(arrivals, seconds)):
        if not counts:
            counts = [{one: [0.0] * (len(bounds[one]) + 1) for one in MEASURES} for _ in replicas]
            sums = [dict.fromkeys(MEASURES, 0.0) for _ in replicas]
            scrapes = [[] for _ in replicas]
        for index, replica in enumerate(replicas):
            for measure in MEASURES:
                for value, times in replica.observed[measure]:
                    counts[index][measure][bisect_left(bounds[measure], value)] += times
                    sums[index][measure] += value * times
            if second % STEP == 0:
                scrapes[index].append(
                    Scrape(
                        _values(replica),
                        {one: tuple(map(int, counts[index][one])) for one in MEASURES},
                        dict(sums[index]),
                        replica.busy,
                        replica.kv_cache,
                    )
                )
    return tuple(tuple(one) for one in scrapes)


def _values(replica: Replica) -> dict[Concept, float]:
    return {
        "running": float(round(replica.running)),
        "waiting": float(round(replica.waiting)),
        "kvCacheUsage": replica.kv_cache,
        "kvCacheTokens": 48_000 * replica.kv_cache,
        "kvCacheTokenLimit": 48_000.0,
        "preemptions": float(int(replica.preemptions)),
        "promptTokens": replica.prompt_tokens,
        "generationTokens": replica.answer_tokens,
        "promptLength": replica.prompt_tokens,
        "generationLength": replica.answer_tokens,
        "finishedRequests": replica.finished,
        "failedRequests": 0.0,
        "rejectedRequests": 0.0,
        "prefixCacheHits": replica.cached_tokens,
        "prefixCacheQueries": replica.prompt_tokens,
    }


def exposed(
    kind: ServerKind,
    version: str,
    labels: Mapping[str, str],
    arrivals: Callable[[int], float],
    seconds: int,
    catalog: Catalog,
) -> list[Series]:
    """The series of a server's replicas, and of the GPU that each has.

    Args:
        kind: which server it is.
        version: its version, which decides on the names.
        labels: what the collector adds to each series, such as namespace and job; `pod` is the name of its Deployment.
        arrivals: requests a second at a second.
        seconds: how long it is watched.
        catalog: the names.

    """
    series: list[Series] = []
    for number, scrapes in enumerate(scraped(kind, arrivals, seconds)):
        pod = f"{labels['pod']}-7d9c5b4f68-{'abcdefgh'[number]}x2z7"
        of_pod = {**labels, "pod": pod, "container": "server"}
        if kind == "vllm":
            of_pod |= {"model_name": "served", "engine": "0"}
        series += _of_server(kind, version, of_pod, scrapes, catalog)
        series += _of_gpu(
            {"cluster": labels["cluster"], "namespace": "gke-managed-system", "pod": pod}, scrapes, catalog
        )
    return series


def _of_server(
    kind: ServerKind, version: str, labels: Mapping[str, str], scrapes: tuple[Scrape, ...], catalog: Catalog
) -> Iterator[Series]:
    for concept in catalog.metrics[kind].metrics:
        metric = catalog.metrics[kind].metric(concept, version)
        if metric is None:
            continue
        if concept in scrapes[0].values:
            name = f"{metric.name}_sum" if metric.kind == "histogram" else metric.name
            yield Series({**labels, "__name__": name}, tuple(one.values[concept] for one in scrapes))
        elif concept in _CONCEPTS:
            measure = _CONCEPTS[concept]
            for place, bound in enumerate((*bounds_of(kind, measure), float("inf"))):
                le = "+Inf" if bound == float("inf") else repr(bound)
                values = tuple(float(sum(one.buckets[measure][: place + 1])) for one in scrapes)
                yield Series({**labels, "__name__": metric.buckets, "le": le}, values)


def _of_gpu(labels: Mapping[str, str], scrapes: tuple[Scrape, ...], catalog: Catalog) -> Iterator[Series]:
    names, used = catalog.gpu_metrics, 20_000.0
    of_gpu = {**labels, "gpu": "0", "modelName": "NVIDIA L4"}
    yield Series({**of_gpu, "__name__": names.utilization}, tuple(100 * one.busy for one in scrapes))
    yield Series({**of_gpu, "__name__": names.memory_used}, (used,) * len(scrapes))
    yield Series({**of_gpu, "__name__": names.memory_free}, (25_000.0 - used,) * len(scrapes))
