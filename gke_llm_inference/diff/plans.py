"""The plan of a revision, from its own code: `python -m gke_llm_inference plan --stack NAME --json` in its tree.

What comes back was made by code that may be anybody's, so every value is checked before it is used; what is missing or
of another type is simply not known.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gke_llm_inference.planning.cluster import region_of
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.preview.process import Interpreter, run_captured
from gke_llm_inference.preview.recording import Recording
from gke_llm_inference.terminal import UNKNOWN

_CLUSTER = "gcp:container/cluster:Cluster"
_LARGEST_NUMBER = 1e15
_PLAN_COMMAND = ("gke_llm_inference", "plan")
_OLD_PLAN_COMMAND = ("planning",)
"""What printed a plan in revisions of this project before the package had one name."""
_OLD_PACKAGES = ("catalog", "components", "planning", "preview", "settings")
"""The packages at the top of such a revision: together they tell it from a team's project."""


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """What a plan says of one server; None for what it does not say.

    Attributes:
        context: longest context that is asked for, in tokens.
        largest_context: longest context that would fit, in tokens.
        kv_tokens: tokens that the KV cache holds at the first start.
        concurrency: requests of the context that is asked for, at once.
        start_seconds: from the container's start to its first answer.
        image_seconds: pulling the image before, on a node that does not have it.
        grace_seconds: what a pod gets to end.
        answer_seconds: how long an answer may take that a pod which ends never cuts.
        monthly_usd: list price of 730 hours.
        speed: the verdict on its objectives, or that its queue grows.
        ttft_ms: time to the first token at p95.
        tpot_ms: time per output token at p95.
        highest_load: requests a second, or in flight, that a replica serves at most within the objectives.
        is_closed: whether loads are requests in flight.
        needed_replicas: replicas that the load needs.
        predicted_usd: predicted price of a million output tokens.
        least_replicas: replicas that it has at least, where their number follows the load.
        scaling_source: what reads the metrics by which their number changes.
        targets: requests for each replica that are aimed at, by what is counted.
        pace: how fast replicas come and go.
        tiers: ways in which its machines are provided, in their order, each with its machine.
        tier_usd: USD an hour of a replica on the cheapest tier whose price is known.
        calibrated: whether the memory plan rests on measurements of this version and GPU.
        region: the region of the stack.
        price_region: the region whose prices the costs are.
        decisions: what presets and rules decided; what goals chose is `choice`.
        choice: what its goals chose, with their names.
        choice_reason: why they chose it.

    """

    name: str
    region: str | None = None
    price_region: str | None = None
    model: str | None = None
    server: str | None = None
    version: str | None = None
    image: str | None = None
    replicas: int | None = None
    least_replicas: int | None = None
    scaling_source: str | None = None
    targets: tuple[tuple[str, int], ...] = ()
    pace: str | None = None
    gpu_type: str | None = None
    gpus: int | None = None
    machine: str | None = None
    node_pool: str | None = None
    tiers: tuple[str, ...] = ()
    tier_usd: float | None = None
    verdict: str | None = None
    context: int | None = None
    largest_context: int | None = None
    kv_tokens: int | None = None
    concurrency: float | None = None
    start_seconds: int | None = None
    image_seconds: int | None = None
    grace_seconds: int | None = None
    answer_seconds: int | None = None
    rollout: str | None = None
    monthly_usd: float | None = None
    cost_note: str = ""
    usd_per_million_tokens: float | None = None
    speed: str | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    highest_load: float | None = None
    is_closed: bool = False
    needed_replicas: int | None = None
    predicted_usd: float | None = None
    calibrated: bool | None = None
    decisions: tuple[str, ...] = ()
    choice: str | None = None
    choice_reason: str = ""


@dataclass(frozen=True, kw_only=True)
class StackFacts:
    """What a plan says of a whole stack."""

    servers: dict[str, ServerFacts] = field(default_factory=dict)
    monthly_usd: float | None = None
    idle_monthly_usd: float | None = None
    cost_note: str = ""
    region: str | None = None
    """Region of the stack."""
    price_region: str | None = None
    """Region whose prices the costs are."""
    quota: dict[str, tuple[int, int]] = field(default_factory=dict)
    """GPUs by quota: while everything runs as configured, and at most."""
    known: bool = False
    """Whether there was a plan at all."""

    def server_named(self, component: str) -> ServerFacts | None:
        """The server of a component, whose name is the server's as a DNS label."""
        if component in self.servers:
            return self.servers[component]
        found = [server for name, server in self.servers.items() if dns_label(name) == component]
        return found[0] if len(found) == 1 else None


def read_plan(
    interpreter: Interpreter, directory: Path, stack: str, timeout: float, *, is_base: bool
) -> dict[str, Any]:
    """The plan of a stack as its revision prints it; empty if the revision has none.

    Nothing runs but this package's command. Only a base that is this project as it was before runs its own instead.

    Args:
        interpreter: what runs the revision's code.
        directory: the revision's project.
        stack: name of the stack.
        timeout: seconds after which the plan is given up.
        is_base: whether it is the revision to compare with.

    """
    command = _OLD_PLAN_COMMAND if is_base and _is_old_revision(directory) else _PLAN_COMMAND
    # A stack that does not fit is planned all the same: its exit code does not matter here.
    output = run_captured([*command, "--stack", stack, "--json"], directory, interpreter, timeout)
    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _is_old_revision(directory: Path) -> bool:
    """Whether the tree is a revision of this project from before its packages were one."""
    if (directory / "gke_llm_inference").exists() or not (directory / "planning" / "__main__.py").is_file():
        return False
    return all((directory / name / "__init__.py").is_file() for name in _OLD_PACKAGES)


def facts_of(document: dict[str, Any], recording: Recording | None = None) -> StackFacts:
    """What a plan's document says, as far as it has the expected form.

    Args:
        document: the plan.
        recording: the revision's resources, which tell the region where an older plan does not.

    """
    region = _text(document.get("region")) or (_region_in(recording) if recording is not None else None)
    cost = _mapping(document.get("cost"))
    idle = _number(cost.get("idleHourlyUsd"))
    hourly, monthly = _number(cost.get("hourlyUsd")), _number(cost.get("monthlyUsd"))
    quota = {}
    needs = document.get("quota")
    for need in map(_mapping, needs if isinstance(needs, list) else []):
        name = _text(need.get("name"))
        running, largest = _whole(need.get("running")), _whole(need.get("largest"))
        if name is not None and running is not None and largest is not None:
            quota[name] = (running, largest)
    return StackFacts(
        servers={
            str(name): replace(_server(str(name), _mapping(server)), region=region)
            for name, server in sorted(_mapping(document.get("servers")).items())
        },
        monthly_usd=monthly,
        idle_monthly_usd=idle * monthly / hourly if idle is not None and hourly and monthly is not None else None,
        cost_note=_text(cost.get("note")) or "",
        region=region,
        price_region=_text(cost.get("priceRegion")),
        quota=quota,
        known="servers" in document,
    )


def _region_in(recording: Recording) -> str | None:
    """The region of the stack's own cluster."""
    for resource in recording.resources:
        location = resource.inputs.get("location")
        if resource.type == _CLUSTER and isinstance(location, str) and location != UNKNOWN:
            return region_of(location)
    return None


def _server(name: str, document: dict[str, Any]) -> ServerFacts:
    memory, placement = _mapping(document.get("memory")), _mapping(document.get("placement"))
    startup, cost = _mapping(document.get("startup")), _mapping(document.get("cost"))
    rollout = _mapping(document.get("rollout"))
    performance = _mapping(document.get("performance"))
    replica, highest = _mapping(performance.get("perReplica")), _mapping(performance.get("highest"))
    rate, concurrency = _number(highest.get("requestRate")), _number(highest.get("concurrency"))
    scaling = _mapping(document.get("autoscaling"))
    decisions = document.get("decisions")
    calibrated = memory.get("calibrated")
    choice = _mapping(document.get("choice"))
    return ServerFacts(
        name=name,
        model=_text(document.get("model")),
        server=_text(document.get("server")),
        version=_text(document.get("version")),
        image=_text(document.get("image")),
        replicas=_whole(document.get("replicas")),
        least_replicas=_whole(scaling.get("minReplicas")),
        scaling_source=_text(scaling.get("source")),
        targets=tuple(_targets(scaling.get("signals"))),
        pace=_pace(_mapping(scaling.get("scaleUp")), _mapping(scaling.get("scaleDown"))),
        gpu_type=_text(placement.get("gpuType")),
        gpus=_whole(placement.get("gpus")),
        machine=_text(placement.get("machineType")),
        node_pool=_text(placement.get("nodePool")),
        tiers=tuple(_tiers(document.get("capacity"))),
        tier_usd=_tier_usd(document.get("capacity")),
        verdict=_text(document.get("verdict")),
        context=_whole(memory.get("askedContext")),
        largest_context=_whole(memory.get("largestContext")),
        kv_tokens=_whole(memory.get("kvCacheTokens")),
        concurrency=_number(memory.get("maxConcurrency")),
        start_seconds=_whole(startup.get("expectedSeconds")),
        image_seconds=_image_seconds(startup.get("parts")),
        grace_seconds=_whole(startup.get("graceSeconds")),
        answer_seconds=_whole(_mapping(document.get("shutdown")).get("answerSeconds")),
        rollout=_rollout(rollout),
        monthly_usd=_number(cost.get("monthlyUsd")),
        cost_note=_text(cost.get("note")) or "",
        price_region=_text(cost.get("priceRegion")),
        usd_per_million_tokens=_number(cost.get("usdPerMillionTokens")),
        speed=_speed(_text(performance.get("verdict")), keeps_up=replica.get("keepsUp") is not False),
        ttft_ms=_number(_mapping(replica.get("ttftMs")).get("p95")),
        tpot_ms=_number(_mapping(replica.get("tpotMs")).get("p95")),
        highest_load=rate if rate is not None else concurrency,
        is_closed=rate is None and concurrency is not None,
        needed_replicas=_whole(_mapping(performance.get("replicas")).get("needed")),
        predicted_usd=_number(_mapping(performance.get("price")).get("usdPerMillionOutputTokens")),
        calibrated=calibrated if isinstance(calibrated, bool) else None,
        decisions=tuple(one for one in _texts(decisions) if one not in _texts(choice.get("decisions"))),
        choice=_choice(choice),
        choice_reason=_text(choice.get("why")) or "",
    )


def _tiers(capacity: Any) -> Iterator[str]:
    """Ways in which a server's machines are provided, each with its machine."""
    tiers = _mapping(capacity).get("tiers")
    for tier in map(_mapping, tiers if isinstance(tiers, list) else ()):
        words = [_text(tier.get(key)) for key in ("model", "machineType", "nodePool")]
        yield " ".join(word for word in words if word)


def _tier_usd(capacity: Any) -> float | None:
    """USD an hour of a replica on the cheapest tier."""
    tiers = _mapping(capacity).get("tiers")
    prices = [_number(_mapping(tier).get("usdPerHour")) for tier in (tiers if isinstance(tiers, list) else ())]
    return min((price for price in prices if price is not None), default=None)


def _targets(signals: Any) -> Iterator[tuple[str, int]]:
    """Requests for each replica that are aimed at, by what is counted."""
    for signal in map(_mapping, signals if isinstance(signals, list) else []):
        name, target = _text(signal.get("name")), _whole(signal.get("target"))
        if name is not None and target is not None:
            yield name, target


def _pace(up: dict[str, Any], down: dict[str, Any]) -> str | None:
    """How fast replicas come and go."""
    rules = []
    for sign, rule in (("+", up), ("-", down)):
        pods, period, window = (_whole(rule.get(key)) for key in ("pods", "periodSeconds", "windowSeconds"))
        if pods is None or period is None or window is None:
            return None
        rules.append(f"{sign}{pods} in {period} s" + (f" after {window} s" if window else ""))
    return ", ".join(rules)


def _speed(verdict: str | None, *, keeps_up: bool) -> str | None:
    parts = [f"{verdict} the objectives"] if verdict else []
    return ", ".join([*parts, *([] if keeps_up else ["the queue grows"])]) or None


def _choice(document: dict[str, Any]) -> str | None:
    """What goals chose and the names of the goals."""
    what, goals = _text(document.get("what")), ", ".join(_texts(document.get("goals")))
    return f"{what} by {goals}" if what and goals else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _rollout(document: dict[str, Any]) -> str | None:
    """The strategy, and how many pods it adds and takes at a time; older plans have the strategy alone."""
    strategy, more, fewer = (document.get(key) for key in ("strategy", "maxSurge", "maxUnavailable"))
    if isinstance(strategy, str) and isinstance(more, int) and isinstance(fewer, int):
        return f"{strategy}, maxSurge {more}, maxUnavailable {fewer}"
    return _text(strategy)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and abs(value) < _LARGEST_NUMBER else None


def _image_seconds(parts: Any) -> int | None:
    """Seconds of the image pull, from a list of parts; older plans have a mapping."""
    if isinstance(parts, list):
        return next(
            (_whole(one.get("seconds")) for one in map(_mapping, parts) if one.get("part") == "imagePull"), None
        )
    return _whole(_mapping(parts).get("imagePullSeconds"))


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None else None
