"""What is asked of the search: a model, a load, and what its latency and place must be."""

from dataclasses import dataclass, replace
from functools import cached_property

from gke_llm_inference.planning.performance import Lengths, Load, arrivals_ms

REQUESTS = 160
"""Requests of a simulation: enough for a 95th percentile, few enough for many candidates."""
_INPUT_SEED, _OUTPUT_SEED = 11, 13


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Requests that a server gets.

    Attributes:
        name: of the profile, or `custom`.
        inputs: prompt tokens.
        outputs: answer tokens.
        rate: requests per second; None where only the price of a token matters.
        burstiness: coefficient of variation of the gaps between requests.
        prefix_hit_rate: share of a prompt that the prefix cache has already.
        source: where the lengths are from.

    """

    name: str
    inputs: Lengths
    outputs: Lengths
    rate: float | None = None
    burstiness: float = 1.0
    prefix_hit_rate: float = 0.0
    source: str = ""

    def within(self, context: int) -> "Workload":
        """The same with requests that fit a context: the longest prompts are cut, then the longest answers."""
        outputs = replace(self.outputs, most=min(self.outputs.most, context // 2))
        return replace(
            self, inputs=replace(self.inputs, most=context - max(outputs.draw(REQUESTS, _OUTPUT_SEED))), outputs=outputs
        )

    @cached_property
    def prompts(self) -> tuple[int, ...]:
        """Prompt tokens of the requests that are simulated."""
        return self.inputs.draw(REQUESTS, _INPUT_SEED)

    @cached_property
    def answers(self) -> tuple[int, ...]:
        """Answer tokens of the same requests."""
        return self.outputs.draw(REQUESTS, _OUTPUT_SEED)

    def load(self, rate: float) -> Load:
        """Requests at a rate; the same lengths and the same order at every rate."""
        return Load(
            prompts=self.prompts, outputs=self.answers, arrivals_ms=arrivals_ms(rate, REQUESTS, self.burstiness)
        )

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
class Objectives:
    """What the 95th percentile of a latency may be at most, in ms; None for any.

    Attributes:
        ttft_ms: time to the first token.
        tpot_ms: time per output token after the first.

    """

    ttft_ms: float | None = None
    tpot_ms: float | None = None


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
