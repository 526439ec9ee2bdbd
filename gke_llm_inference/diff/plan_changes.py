"""What changes in the plan, in words: context, KV cache, GPUs, machine, start, cost, per server and for the stack."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.diff.plans import ServerFacts, StackFacts
from gke_llm_inference.diff.wording import count, minutes, quote
from gke_llm_inference.planning.cost import HOURS_PER_MONTH
from gke_llm_inference.planning.memory.result import floored

UNKNOWN_COST = "not known"
_MONTH, _TOKENS = "cost a month", "cost of a million tokens"
_PRICES = (_MONTH, _TOKENS)


@dataclass(frozen=True)
class Row:
    """One figure of a plan; text with quotes marked, empty for a figure that there is or was none of."""

    label: str
    before: str
    after: str
    note: str = ""

    @property
    def changes(self) -> bool:
        """Whether it differs."""
        return self.before != self.after

    @property
    def text(self) -> str:
        """Both of it in words."""
        if not self.after:
            return f"{self.before} before"
        if not self.before:
            return self.after
        note = f" ({self.note})" if self.note else ""
        return f"{self.before} → {self.after}{note}" if self.changes else f"{self.after}, as before"

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        note = {"note": self.note} if self.note else {}
        return {"label": self.label, "before": self.before or None, "after": self.after or None, **note}


@dataclass(frozen=True)
class ServerChange:
    """What changes in the plan of one server."""

    name: str
    action: Literal["added", "removed", "changed"]
    rows: tuple[Row, ...]
    """The figures that change; all of them for a server that is added or removed."""
    same: tuple[Row, ...] = ()
    """The figures that stay."""
    new_decisions: tuple[str, ...] = ()
    gone_decisions: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanChanges:
    """What changes in the plan of a stack."""

    servers: tuple[ServerChange, ...]
    cost: Row | None
    """Cost of a month, whether it changes or not; None without a plan."""
    quota: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    """What the figures leave out, with quotes marked."""
    same: bool = False
    """Whether both revisions have a plan, and no server's changes."""


def plan_changes(before: StackFacts, after: StackFacts) -> PlanChanges:
    """What changes from one plan to another; nothing where neither revision has a plan."""
    if not before.known and not after.known:
        return PlanChanges((), None)
    names = sorted(before.servers.keys() | after.servers.keys())
    servers = [_server(before.servers.get(name), after.servers.get(name)) for name in names]
    quota = [
        Row(name, _gpus(before.quota.get(name)), _gpus(after.quota.get(name)))
        for name in sorted(before.quota.keys() | after.quota.keys())
    ]
    first, second = _stack_usd(before), _stack_usd(after)
    notes = ["the machines alone, at Compute Engine's list price"] if first.is_least or second.is_least else []
    notes += dict.fromkeys(quote(facts.cost_note, 300) for facts in (before, after) if facts.cost_note)
    changed = tuple(server for server in servers if server.rows or server.new_decisions or server.gone_decisions)
    return PlanChanges(
        servers=changed,
        cost=Row(
            _MONTH,
            _priced(first.text, first.of, before.region, after.region) if before.known else "",
            _priced(second.text, second.of, after.region, before.region) if after.known else "",
            _difference(first, second),
        )
        if before.known and after.known
        else Row(_MONTH, first.text if before.known else "", second.text if after.known else ""),
        quota=tuple(row for row in quota if row.changes) if before.known and after.known else (),
        notes=tuple(notes),
        same=before.known and after.known and not changed,
    )


def _server(before: ServerFacts | None, after: ServerFacts | None) -> ServerChange:
    either = after or before
    assert either is not None
    rows = [
        Row(label, text(before) if before else "", text(after) if after else "", note(before, after))
        for label, text, note in _FIGURES
    ]
    if before is not None and after is not None:
        rows = [_with_regions(row, before, after) if row.label in _PRICES else row for row in rows]
    if before is None or after is None:
        rows = [row for row in rows if row.before or row.after]
        return ServerChange(either.name, "added" if before is None else "removed", tuple(rows))
    return ServerChange(
        either.name,
        "changed",
        tuple(row for row in rows if row.changes),
        tuple(row for row in rows if not row.changes and row.after),
        tuple(one for one in after.decisions if one not in before.decisions),
        tuple(one for one in before.decisions if one not in after.decisions),
    )


def _with_regions(row: Row, before: ServerFacts, after: ServerFacts) -> Row:
    first, second = _usd(before).of, _usd(after).of
    return replace(
        row,
        before=_priced(row.before, first, before.region, after.region),
        after=_priced(row.after, second, after.region, before.region),
    )


def _priced(text: str, of: str | None, region: str | None, other: str | None) -> str:
    """A price with its region, where another revision is in another: two regions never have the same price.

    Args:
        text: the price.
        of: the region whose price it is.
        region: the region that it is for.
        other: the region of the other revision.

    """
    if not text or region == other or text == UNKNOWN_COST:
        return text
    named = f"{text} in {quote(region)}" if region else f"{text} in a region that is not known"
    return f"{named}, at prices of {quote(of)}" if of and of != region else named


def _no_note(before: ServerFacts | None, after: ServerFacts | None) -> str:  # noqa: ARG001 - one form for all
    return ""


def _times(get: Callable[[ServerFacts], float | None]) -> Callable[[ServerFacts | None, ServerFacts | None], str]:
    def note(before: ServerFacts | None, after: ServerFacts | None) -> str:
        first, second = (get(facts) if facts else None for facts in (before, after))
        if not first or not second or first == second:
            return ""
        return f"{second / first:.1f} times" if second > 1.05 * first else f"{second / first - 1:+.0%}"

    return note


def _cost_note(before: ServerFacts | None, after: ServerFacts | None) -> str:
    return _difference(_usd(before), _usd(after)) if before and after else ""


def _choice_note(before: ServerFacts | None, after: ServerFacts | None) -> str:
    """Why a goal chooses otherwise than it did."""
    if before is None or after is None or before.choice == after.choice or not after.choice_reason:
        return ""
    return f"as it is {quote(after.choice_reason, 300)}"


def _words(get: Callable[[ServerFacts], str | None]) -> Callable[[ServerFacts], str]:
    def text(facts: ServerFacts) -> str:
        value = get(facts)
        return quote(value) if value else ""

    return text


def _tokens(get: Callable[[ServerFacts], int | None]) -> Callable[[ServerFacts], str]:
    def text(facts: ServerFacts) -> str:
        value = get(facts)
        return "" if value is None else f"{value:,} tokens"

    return text


def _fit(facts: ServerFacts) -> str:
    if not facts.verdict:
        return ""
    return quote(facts.verdict) + (", estimated, not measured" if facts.calibrated is False else "")


def _milliseconds(get: Callable[[ServerFacts], float | None]) -> Callable[[ServerFacts], str]:
    def text(facts: ServerFacts) -> str:
        value = get(facts)
        return "" if value is None else f"{value:,.0f} ms" if value >= 100 else f"{value:,.1f} ms"

    return text


def _highest(facts: ServerFacts) -> str:
    if facts.highest_load is None:
        return ""
    if facts.is_closed:
        return f"{facts.highest_load:,.0f} in flight"
    return f"{facts.highest_load:,.2f} requests a second"


def _start(facts: ServerFacts) -> str:
    if facts.start_seconds is None:
        return ""
    return minutes(facts.start_seconds + (facts.image_seconds or 0))


def _end(facts: ServerFacts) -> str:
    if facts.grace_seconds is None:
        return ""
    kept = f", answers of up to {facts.answer_seconds:,} s never cut" if facts.answer_seconds is not None else ""
    return f"{facts.grace_seconds:,} s{kept}"


def _server_gpus(facts: ServerFacts) -> str:
    return f"{facts.gpus:,} × {quote(facts.gpu_type or 'GPU')}" if facts.gpus is not None else ""


def _replicas(facts: ServerFacts) -> str:
    if facts.replicas is None:
        return ""
    least = "" if facts.least_replicas is None else f"{facts.least_replicas:,} to "
    return f"{least}{facts.replicas:,}"


def _tiers(facts: ServerFacts) -> str:
    return ", then ".join(map(quote, facts.tiers))


def _targets(facts: ServerFacts) -> str:
    return ", ".join(f"{target:,} {quote(name)}" for name, target in facts.targets)


_FIGURES: tuple[
    tuple[str, Callable[[ServerFacts], str], Callable[[ServerFacts | None, ServerFacts | None], str]], ...
] = (
    ("model", _words(lambda facts: facts.model), _no_note),
    ("server", _words(lambda facts: " ".join(filter(None, (facts.server, facts.version)))), _no_note),
    ("image", _words(lambda facts: facts.image), _no_note),
    ("replicas", _replicas, _no_note),
    ("scales by", _words(lambda facts: facts.scaling_source), _no_note),
    ("requests for each replica", _targets, _no_note),
    ("replicas come and go", _words(lambda facts: facts.pace), _no_note),
    ("GPUs per replica", _server_gpus, _no_note),
    ("choice of the goals", _words(lambda facts: facts.choice), _choice_note),
    ("machine", _words(lambda facts: facts.machine), _no_note),
    ("capacity, in this order", _tiers, _no_note),
    ("node pool", _words(lambda facts: facts.node_pool), _no_note),
    ("GPU memory", _fit, _no_note),
    ("context", _tokens(lambda facts: facts.context), _no_note),
    ("longest context that fits", _tokens(lambda facts: facts.largest_context), _no_note),
    ("KV cache", _tokens(lambda facts: facts.kv_tokens), _times(lambda facts: facts.kv_tokens)),
    (
        "requests of the context at once",
        lambda facts: "" if facts.concurrency is None else f"{floored(facts.concurrency):,.1f}",
        _no_note,
    ),
    ("cold start, image pull included", _start, _no_note),
    ("pods end within", _end, _no_note),
    ("updates by", _words(lambda facts: facts.rollout), _no_note),
    (_MONTH, lambda facts: _usd(facts).text, _cost_note),
    ("speed", _words(lambda facts: facts.speed), _no_note),
    ("TTFT p95", _milliseconds(lambda facts: facts.ttft_ms), _times(lambda facts: facts.ttft_ms)),
    ("TPOT p95", _milliseconds(lambda facts: facts.tpot_ms), _times(lambda facts: facts.tpot_ms)),
    ("highest load of a replica", _highest, _times(lambda facts: facts.highest_load)),
    (
        "replicas that the load needs",
        lambda facts: "" if facts.needed_replicas is None else f"{facts.needed_replicas:,}",
        _no_note,
    ),
    (
        "predicted cost of a million output tokens",
        lambda facts: "" if facts.predicted_usd is None else f"{facts.predicted_usd:,.2f} USD",
        _no_note,
    ),
    (
        _TOKENS,
        lambda facts: "" if facts.usd_per_million_tokens is None else f"{facts.usd_per_million_tokens:,.2f} USD",
        _no_note,
    ),
)


@dataclass(frozen=True)
class _Usd:
    """A price of a month; `is_least` where only a part of it is known."""

    amount: float | None
    is_least: bool = False
    region: str | None = None
    of: str | None = None
    """The region whose price it is."""

    @property
    def text(self) -> str:
        if self.amount is None:
            return UNKNOWN_COST
        return f"{'at least ' if self.is_least else ''}{self.amount:,.0f} USD"

    @property
    def is_own(self) -> bool:
        """Whether it is the price of its own region, as far as is known."""
        return self.of in (None, self.region)


def _usd(facts: ServerFacts) -> _Usd:
    """Cost of a server; where the plan has none, its machines at list price, to which a premium comes."""
    if facts.monthly_usd is not None:
        return _Usd(facts.monthly_usd, region=facts.region, of=facts.price_region)
    if facts.tier_usd is not None and facts.replicas is not None:
        amount = facts.replicas * facts.tier_usd * HOURS_PER_MONTH
        return _Usd(amount, is_least=True, region=facts.region, of=facts.price_region or facts.region)
    catalog = load_catalog()
    machine = catalog.machine_types.get(facts.machine or "")
    if machine is None or facts.gpus is None or facts.replicas is None:
        return _Usd(None)
    price, region = catalog.price(facts.machine or "", facts.region)
    if price is None:
        return _Usd(None)
    share = min(facts.gpus / machine.gpus, 1)
    amount = facts.replicas * share * price.on_demand * HOURS_PER_MONTH
    return _Usd(amount, is_least=True, region=facts.region, of=region)


def _stack_usd(facts: StackFacts) -> _Usd:
    if facts.monthly_usd is not None or not facts.servers:
        return _Usd(facts.monthly_usd, region=facts.region, of=facts.price_region)
    costs = [_usd(server) for server in facts.servers.values()]
    known = [cost.amount for cost in costs if cost.amount is not None]
    if len(known) != len(costs):
        return _Usd(None)
    foreign = [cost.of for cost in costs if not cost.is_own]
    return _Usd(sum(known), is_least=True, region=facts.region, of=foreign[0] if foreign else costs[0].of)


def _difference(before: _Usd, after: _Usd) -> str:
    if before.amount is None or after.amount is None or before.is_least != after.is_least:
        return ""
    if before.region != after.region and not (before.is_own and after.is_own):
        return ""  # prices of one region say nothing of another
    difference = after.amount - before.amount
    return "" if abs(difference) < 0.5 else f"{difference:+,.0f} USD"


def _gpus(need: tuple[int, int] | None) -> str:
    if need is None:
        return ""
    running, largest = need
    return count(running, "GPU") + ("" if running == largest else f", {largest:,} max")


def lines_of(server: ServerChange) -> Iterator[str]:
    """The changes of one server as sentences, with quotes marked."""
    for row in server.rows:
        note = f" ({row.note})" if row.note else ""
        if server.action == "changed":
            yield f"{row.label}: {row.before or 'none'} → {row.after or 'none'}{note}"
        else:
            yield f"{row.label}: {row.after or row.before}"
    for decision in server.new_decisions:
        yield f"new: {quote(decision, 300)}"
    for decision in server.gone_decisions:
        yield f"no longer: {quote(decision, 300)}"
