"""What is asked of the search: a model, a load, and what its latency and place must be."""

from dataclasses import dataclass

from gke_llm_inference.planning.performance import Objectives, Workload


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the search is asked.

    Attributes:
        model: Hugging Face id of a model of the catalog.
        workload: the requests.
        objectives: what latency may be.
        gpus: GPU types to choose from; those with known roofs if empty.
        region: where it runs.

    """

    model: str
    workload: Workload
    objectives: Objectives
    gpus: tuple[str, ...]
    region: str
