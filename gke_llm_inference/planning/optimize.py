"""The search that goals make, for a server of which nothing but model, load and objectives is stated."""

from dataclasses import dataclass
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning import steps
from gke_llm_inference.planning.goals import refusal
from gke_llm_inference.planning.objectives import typical_beyond
from gke_llm_inference.planning.optimization import GoalName, Optimum, Option, optimum_of
from gke_llm_inference.planning.optimization.choice import changes_of
from gke_llm_inference.planning.optimization.offers import NOT_STATED, offers_of
from gke_llm_inference.planning.performance.workload import workload_of
from gke_llm_inference.planning.presets import apply_presets
from gke_llm_inference.planning.stack import StackIdentity, frame_of
from gke_llm_inference.planning.stages import AskedServer, ModeledServer
from gke_llm_inference.settings import Finding, Refusal, parse_settings
from gke_llm_inference.settings.findings import problems_of

SHOWN = 10
"""Candidates that are worked out at least, where there are so many."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `optimize` is asked.

    Attributes:
        model: Hugging Face id of a model of the catalog.
        goal: what to choose by; where it is not stated, the price of the load, or of a token where there is none.
        workload: the requests, as the settings have them; the default profile if empty.
        objectives: what latency and price may be, as the settings have them; none if empty.
        gpus: GPUs to choose from; all whose speed is known if empty.
        region: where it runs.
        spot: whether its machines are Spot VMs.

    """

    model: str
    goal: GoalName | None = None
    workload: tuple[tuple[str, Any], ...] = ()
    objectives: tuple[tuple[str, Any], ...] = ()
    gpus: tuple[str, ...] = ()
    region: str = "us-central1"
    spot: bool = False

    @property
    def searched(self) -> GoalName:
        """The goal, stated or not."""
        if self.goal is not None:
            return self.goal
        has_load = {"requestRate", "concurrency"} & dict(self.workload).keys()
        return "throughput" if not has_load else "objectives" if self.objectives else "cost"

    @property
    def server(self) -> dict[str, Any]:
        """The server as a stack file states it."""
        stated: dict[str, Any] = {"server": "vllm", "model": self.model}
        if self.workload:
            stated["workload"] = dict(self.workload)
        if self.objectives:
            stated["objectives"] = dict(self.objectives)
        return stated


def optimize(asked: Asked, catalog: Catalog) -> Optimum:
    """The best way to serve what is asked on a node pool of its own, and what lost; the same for the same input.

    Raises:
        Refusal: the question makes no sense, or nothing fits.

    """
    server = _server(asked, catalog)
    longest = server.model.architecture.max_positions
    workload = workload_of(server.settings.workload, catalog.workloads)
    if (found := typical_beyond(server.path, workload, longest, longest)) is not None:
        raise Refusal([found])
    applied = apply_presets(server.path, server.settings, server.version, server.model, catalog)
    offers = offers_of(server, applied.settings, "spot" if asked.spot else "onDemand")
    optimum = optimum_of(
        server,
        applied,
        (asked.searched,),
        refusal,
        offers=offers,
        shown=SHOWN,
        any_latency=asked.goal == "throughput",
    )
    if optimum is None or not _says_anything(optimum):
        raise Refusal([_nothing_fits(asked)])
    return optimum


def fragment(asked: Asked, option: Option) -> dict[str, Any]:
    """The part of a stack file that serves an option and keeps it: its node pool and its server."""
    candidate = option.candidate
    gpus = (("type", candidate.gpu), ("count", candidate.gpus))
    changes = changes_of(candidate, option.replicas)
    server = {**asked.server, "accelerator": dict(gpus)}
    server |= {key: value for key, value in changes.items() if not key.startswith("accelerator.")}
    pool: dict[str, Any] = {"accelerator": dict(gpus), "maxNodes": max(1, option.replicas)}
    if candidate.offer.provisioning != "onDemand":
        pool["provisioning"] = {"model": candidate.offer.provisioning}
    return {"nodePools": {"gpu": pool}, "servers": {server_name(asked.model): server}}


def server_name(model: str) -> str:
    """A server's name for a model."""
    return "".join(sign if sign.isalnum() else "-" for sign in model.rpartition("/")[2].lower()).strip("-")


def _server(asked: Asked, catalog: Catalog) -> ModeledServer:
    """The server on a Standard cluster that has no pool yet."""
    key = server_name(asked.model)
    raw = {
        "cluster": {"mode": "standard", "location": asked.region},
        "huggingFace": {"tokenSource": "existingSecret"},
        "servers": {key: {**asked.server, **({"accelerator": list(asked.gpus)} if asked.gpus else {})}},
    }
    settings = parse_settings(raw)
    frame, _, found = frame_of(settings, StackIdentity("optimize", "optimize", "some-project"), catalog)
    findings = list(found)
    server = steps.model(AskedServer(key=key, settings=settings.servers[key], stack=frame), findings)
    problems = problems_of(findings)
    if problems or server is None:
        raise Refusal(problems)
    return server


def _says_anything(optimum: Optimum) -> bool:
    """Whether anything on the GPUs that may be taken fits, if only as Spot VMs or too slow."""
    advised = optimum.advised
    is_own = advised is not None and advised.candidate.offer.advised != NOT_STATED
    return bool(optimum.best or optimum.nearest or optimum.refused or optimum.too_slow or is_own)


def _nothing_fits(asked: Asked) -> Finding:
    return Finding(
        path="model",
        what=f"{asked.model} does not fit any of {', '.join(asked.gpus) or 'the GPUs whose speed is known'}",
        why="neither at its own precision nor with FP8 or 4-bit weights, on any number of them",
        fix="name larger GPUs, or shorter requests",
    )
