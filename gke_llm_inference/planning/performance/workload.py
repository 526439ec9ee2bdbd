"""What a server is asked, and what its answers must be like."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from gke_llm_inference.catalog.workload_facts import ProfileTokens, WorkloadProfile
from gke_llm_inference.planning.performance.load import Lengths, Load, arrivals_ms
from gke_llm_inference.settings import ObjectiveSettings, TokenCounts, WorkloadSettings

DEFAULT_PROFILE = "chat"
"""Profile of servers whose workload is not stated."""
REQUESTS = 160
"""Requests of a simulation: enough for a 99th percentile, few enough for many candidates."""
MOST_BURSTINESS = 5.0
"""Burstiness that so many requests show: of higher ones a few gaps are most of the time, and the rest is one burst."""
_INPUT_SEED, _OUTPUT_SEED = 11, 13
_TURNS = 4


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Requests that a server gets.

    Attributes:
        name: of the profile, or `custom`.
        inputs: prompt tokens.
        outputs: answer tokens.
        rate: requests per second of all replicas; None where it is not known.
        concurrency: requests that all replicas have in flight, in place of a rate.
        burstiness: coefficient of variation of the gaps between requests.
        prefix_hit_rate: share of a prompt that the prefix cache has already.
        source: where the lengths are from.

    """

    name: str
    inputs: Lengths
    outputs: Lengths
    rate: float | None = None
    concurrency: int | None = None
    burstiness: float = 1.0
    prefix_hit_rate: float = 0.0
    source: str = ""

    @property
    def asked(self) -> float | None:
        """The load of all replicas: requests per second, or in flight where the loop is closed; None if not known."""
        return self.rate if self.concurrency is None else float(self.concurrency)

    @property
    def is_closed(self) -> bool:
        """Whether a request comes as soon as another has ended."""
        return self.concurrency is not None

    def within(self, context: int) -> "Workload":
        """The same with requests that fit a context: the longest prompts are cut, then the longest answers."""
        outputs = replace(self.outputs, most=min(self.outputs.most, context // 2))
        return replace(
            self, inputs=replace(self.inputs, most=context - max(outputs.draw(REQUESTS, _OUTPUT_SEED))), outputs=outputs
        )

    def share_beyond(self, context: int) -> float:
        """Share of the requests that have more tokens than a context."""
        pairs = zip(self.prompts, self.answers, strict=True)
        return sum(prompt + answer > context for prompt, answer in pairs) / REQUESTS

    @cached_property
    def prompts(self) -> tuple[int, ...]:
        """Prompt tokens of the requests that are simulated."""
        return self.inputs.draw(REQUESTS, _INPUT_SEED)

    @cached_property
    def answers(self) -> tuple[int, ...]:
        """Answer tokens of the same requests."""
        return self.outputs.draw(REQUESTS, _OUTPUT_SEED)

    def load(self, asked: float) -> Load:
        """Requests of one replica at a rate, or so many in flight; the same lengths and order at every rate."""
        if self.is_closed:
            # A loop is steady once everyone in it had a few turns.
            turns = math.ceil(_TURNS * asked / REQUESTS)
            return Load(prompts=self.prompts * turns, outputs=self.answers * turns, concurrency=max(1, round(asked)))
        moments = arrivals_ms(asked, REQUESTS, self.burstiness)
        # So few gaps may be shorter than asked by chance: their mean is made what it is to be.
        scale = 1000 * REQUESTS / asked / moments[-1]
        return Load(prompts=self.prompts, outputs=self.answers, arrivals_ms=tuple(moment * scale for moment in moments))

    @property
    def mean_input(self) -> float:
        """Mean prompt in tokens."""
        return sum(self.prompts) / REQUESTS

    @property
    def mean_output(self) -> float:
        """Mean answer in tokens."""
        return sum(self.answers) / REQUESTS

    @property
    def longest(self) -> int:
        """Tokens of the longest request that is simulated."""
        return max(prompt + answer for prompt, answer in zip(self.prompts, self.answers, strict=True))


@dataclass(frozen=True, kw_only=True)
class LatencyBound:
    """What a percentile of a latency may be at most.

    Attributes:
        milliseconds: the bound.
        percentile: percent of the requests that must meet it, 50 to 99.

    """

    milliseconds: float
    percentile: float = 95


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """What is fast enough, and cheap enough; None for any.

    Attributes:
        ttft: time to the first token.
        tpot: time per output token after the first.
        usd_per_million_tokens: price of a million output tokens, input not counted.

    """

    ttft: LatencyBound | None = None
    tpot: LatencyBound | None = None
    usd_per_million_tokens: float | None = None


def workload_of(settings: WorkloadSettings | None, profiles: Mapping[str, WorkloadProfile]) -> Workload:
    """The workload that settings state; what they leave out is the profile's.

    Args:
        settings: what the stack says; all of the default profile if None.
        profiles: the catalog's profiles, of which `settings` names one or none.

    """
    settings = settings or WorkloadSettings()
    profile = profiles[settings.profile or DEFAULT_PROFILE]
    inputs, outputs = settings.input_tokens, settings.output_tokens
    own = settings.profile is None and inputs is not None and outputs is not None
    burstiness = settings.burstiness if settings.burstiness is not None else 1.0 if own else profile.burstiness
    hits = settings.prefix_cache_hit_rate
    return Workload(
        name="custom" if own else settings.profile or DEFAULT_PROFILE,
        inputs=_lengths(inputs or profile.input_tokens),
        outputs=_lengths(outputs or profile.output_tokens),
        rate=settings.request_rate,
        concurrency=settings.concurrency,
        burstiness=burstiness,
        prefix_hit_rate=hits if hits is not None else 0.0 if own else profile.prefix_cache_hit_rate,
        source="as stated" if own else profile.source,
    )


def objectives_of(settings: ObjectiveSettings | None) -> Objectives:
    """The objectives that settings state; none if None."""
    if settings is None:
        return Objectives()
    ttft, tpot = (
        LatencyBound(milliseconds=given.milliseconds, percentile=given.percentile) if given else None
        for given in (settings.ttft, settings.tpot)
    )
    return Objectives(ttft=ttft, tpot=tpot, usd_per_million_tokens=settings.max_usd_per_million_tokens)


def _lengths(counts: TokenCounts | ProfileTokens) -> Lengths:
    return Lengths(p50=counts.p50, p90=counts.p90)
