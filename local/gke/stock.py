"""How many machines Google has, as far as that is bounded at all. Pure.

A stock names machines by words, such as `spot`, `onDemand/g2-standard-8`, `spot/a2-highgpu-1g/us-central1-a` or
`reservation/l4-res`, and says for each how many there are at once. What it does not name is always there.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from gke_llm_inference.catalog.facts import ProvisioningName
from gke_llm_inference.settings.parse import suggestion
from local.gke.errors import LocalGkeError
from local.gke.pools import Pool

_MODELS = get_args(ProvisioningName)
_ANY = "any"


@dataclass(frozen=True)
class Stock:
    """Machines that there are at once, by their words."""

    limits: Mapping[str, int] = field(default_factory=dict)

    def changed(self, texts: Iterable[str]) -> "Stock":
        """The stock with `WORDS=NUMBER` for each text; the number `any` lifts a bound.

        Raises:
            LocalGkeError: a text says something else.

        """
        limits = dict(self.limits)
        for text in texts:
            words, number = _parsed(text)
            if number is None:
                limits.pop(words, None)
            else:
                limits[words] = number
        return Stock(dict(sorted(limits.items())))

    def zone(self, pool: Pool, first: str, taken: Iterable[Collection[str]]) -> str | None:
        """A zone in which a machine for the pool is left; None if there is none.

        Args:
            pool: whose machine is asked for.
            first: the zone that is asked first; the others come after it in turn.
            taken: the words of every machine that there is.

        """
        if not self.limits:
            return first
        start = pool.zones.index(first)
        machines = [frozenset(words) for words in taken]
        zones = (*pool.zones[start:], *pool.zones[:start])
        return next((zone for zone in zones if self._is_left({*pool.words, zone}, machines)), None)

    def _is_left(self, words: set[str], taken: list[frozenset[str]]) -> bool:
        return all(
            sum(machine.issuperset(named) for machine in taken) < most
            for named, most in ((frozenset(one.split("/")), most) for one, most in self.limits.items())
            if named <= words
        )


def _parsed(text: str) -> tuple[str, int | None]:
    words, _, number = text.partition("=")
    model = words.partition("/")[0]
    if model not in _MODELS:
        raise LocalGkeError(f"'{text}': a stock starts with how machines are given; {suggestion(model, _MODELS)}")
    if number == _ANY:
        return words, None
    if not number.isdecimal():
        raise LocalGkeError(f"'{text}': give the number of machines, such as {words}=0, or {words}=any for no bound")
    return words, int(number)
