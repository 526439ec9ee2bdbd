"""Requests that a server gets: their arrivals and lengths, drawn from a seed or given one by one."""

import math
import random
from dataclasses import dataclass
from functools import lru_cache

# z of the 90th percentile of a normal distribution.
_Z90 = 1.2815515655446004
_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests in the order in which they are sent.

    Attributes:
        prompts: prompt tokens of each request.
        outputs: tokens that each produces.
        arrivals_ms: when each arrives; None for a closed loop.
        concurrency: requests that a closed loop keeps in flight.

    """

    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    arrivals_ms: tuple[float, ...] | None = None
    concurrency: int | None = None


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Numbers of tokens: log-normal with these percentiles, or all the same without a 90th."""

    p50: float
    p90: float | None = None
    most: int = 10**9

    def draw(self, count: int, seed: int) -> tuple[int, ...]:
        """That many lengths, spread evenly over the distribution and shuffled; the same for the same seed."""
        if self.p90 is None or self.p90 <= self.p50:
            return (self._whole(self.p50),) * count
        sigma = math.log(self.p90 / self.p50) / _Z90
        values = [
            self._whole(self.p50 * math.exp(sigma * normal_quantile((index + 0.5) / count))) for index in range(count)
        ]
        random.Random(seed).shuffle(values)  # noqa: S311 not for secrets
        return tuple(values)

    def _whole(self, value: float) -> int:
        return max(1, min(self.most, round(value)))


def uniform_lengths(mean: float, count: int, seed: int = _SEED, spread: float = 0.5) -> tuple[int, ...]:
    """Lengths that are uniform within a share of a mean: half of it unless said otherwise."""
    draws = random.Random(seed)  # noqa: S311 not for secrets
    return tuple(max(1, int(mean * (1 - spread + 2 * spread * draws.random()))) for _ in range(count))


def arrivals_ms(rate: float, count: int, burstiness: float = 1.0, seed: int = _SEED) -> tuple[float, ...]:
    """Arrivals of an open loop: gaps of a gamma distribution with that coefficient of variation.

    Gaps scale with 1 / rate, so that a higher rate brings the same requests earlier.
    """
    draws = random.Random(seed)  # noqa: S311 not for secrets
    if burstiness <= 0:
        gaps = [1.0] * count
    else:
        shape = burstiness**-2
        gaps = [draws.gammavariate(shape, 1 / shape) for _ in range(count)]
    moments, now = [], 0.0
    for gap in gaps:
        now += gap
        moments.append(1000 * now / rate)
    return tuple(moments)


@lru_cache(maxsize=1024)
def normal_quantile(share: float) -> float:
    """Quantile of the normal distribution, by bisection of the error function: the same on every machine."""
    low, high = -8.0, 8.0
    for _ in range(60):
        middle = (low + high) / 2
        if 0.5 * (1 + math.erf(middle / math.sqrt(2))) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2
