"""What the machines with GPUs have cost: how long they were there, at list price. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.catalog.facts import machine_family
from local.gke.nodes import MACHINE

_HOUR = 3600


@dataclass(frozen=True)
class Line:
    """What the machines of one tier have cost.

    Attributes:
        model: how Google gave them.
        region: where they were.
        hours: how long they were there, all together, in simulated time.
        usd: at list price; None where no price is known.
        at_most: whether Google takes less than that.

    """

    model: str
    machine_type: str
    region: str
    hours: float
    usd: float | None
    at_most: bool = False


@dataclass(frozen=True)
class Usage:
    """Simulated seconds that machines were there, by their words, the zone last."""

    seconds: Mapping[str, float] = field(default_factory=dict)

    def after(self, nodes: Iterable[Mapping[str, Any]], seconds: float) -> "Usage":
        """The usage once such nodes have been there for so much longer."""
        total = dict(self.seconds)
        for node in nodes:
            words = node["metadata"].get("annotations", {}).get(MACHINE)
            if words:
                total[words] = total.get(words, 0.0) + seconds
        return Usage(dict(sorted(total.items())))

    def lines(self, catalog: Catalog) -> list[Line]:
        """What it comes to; reservations and flex-start machines have the price of on-demand ones, some at most."""
        hours: dict[tuple[str, str, str], float] = {}
        for words, seconds in self.seconds.items():
            match words.split():
                case [model, machine_type, *_, zone] if machine_type in catalog.machine_types:
                    key = (model, machine_type, zone.rpartition("-")[0])
                case _:
                    # A file that somebody else has written.
                    continue
            hours[key] = hours.get(key, 0.0) + seconds / _HOUR
        return [
            Line(*key, total, _usd(*key, total, catalog), _is_discounted(*key, catalog))
            for key, total in sorted(hours.items())
        ]


def _is_discounted(model: str, machine_type: str, _region: str, catalog: Catalog) -> bool:
    return model == "flexStart" and machine_family(machine_type) in catalog.prices.flex_start_discount


def _usd(model: str, machine_type: str, region: str, hours: float, catalog: Catalog) -> float | None:
    prices, _ = catalog.price(machine_type, region)
    return None if prices is None else hours * (prices.spot if model == "spot" else prices.on_demand)


def report(lines: Iterable[Line]) -> list[str]:
    """The lines as text, with their sum where there are several."""
    told = list(lines)
    texts = [
        f"{line.hours:.2f} node-hours of {line.machine_type} ({line.model}, {line.region}): "
        + ("no price known" if line.usd is None else f"{line.usd:.2f} USD{' at most' if line.at_most else ''}")
        for line in told
    ]
    if len(told) < 2:
        return texts
    known = [line.usd for line in told if line.usd is not None]
    least = "" if len(known) == len(told) else "at least "
    return [*texts, f"{least}{sum(known):.2f} USD in all at list price"]
