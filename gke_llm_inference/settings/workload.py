"""What a server is asked, and how fast it must answer: settings from which its speed is planned."""

from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, StringConstraints, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gke_llm_inference.settings.base import PositiveInt, Settings, refused

ProfileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}$")]


class TokenCounts(Settings):
    """Tokens of a prompt or an answer: log-normal with two percentiles, or all the same with one."""

    p50: PositiveInt
    """Half of the requests have at most so many."""
    p90: PositiveInt | None = None
    """Nine of ten have at most so many; as many as p50 if absent."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return {"p50": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _ordered(self) -> "TokenCounts":
        if self.p90 is not None and self.p90 < self.p50:
            raise refused(
                f"p90 {self.p90} is below p50 {self.p50}",
                "nine of ten requests cannot be shorter than half of them",
                "raise p90 or lower p50",
            )
        return self


class _OrNumber:
    """Marks token counts that a plain number may stand for, in the JSON schema."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "integer", "minimum": 1}, handler(schema)]}


Tokens = Annotated[TokenCounts, _OrNumber()]
"""A number of tokens, or the percentiles of it."""


class WorkloadSettings(Settings):
    """Requests that a server gets: a profile, numbers of your own, or a profile with some of them changed."""

    profile: ProfileName | None = None
    """Profile of the catalog that gives what is absent here, such as chat; chat if absent."""
    input_tokens: Tokens | None = None
    """Tokens of a prompt: a number, or the percentiles p50 and p90."""
    output_tokens: Tokens | None = None
    """Tokens of an answer: a number, or the percentiles p50 and p90."""
    request_rate: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Requests a second that all replicas get together."""
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Requests that are in flight at any time, over all replicas; in place of requestRate."""
    burstiness: Annotated[float, Field(ge=0, le=20)] | None = None
    """Coefficient of variation of the gaps between requests: 0 for even gaps, 1 for independent requests."""
    prefix_cache_hit_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of a prompt that the prefix cache has already, from 0 to below 1."""

    @model_validator(mode="after")
    def _one_load(self) -> "WorkloadSettings":
        if self.request_rate is not None and self.concurrency is not None:
            raise refused(
                "states both requestRate and concurrency",
                "requests come at a rate of their own, or as soon as others have ended, but not both",
                "keep one of them",
            )
        if self.concurrency is not None and self.burstiness is not None:
            raise refused(
                "states burstiness beside concurrency",
                "a request of a closed loop comes as soon as another has ended; there are no gaps to vary",
                "remove burstiness, or give requestRate instead of concurrency",
            )
        return self


class LatencyObjective(Settings):
    """What a latency may be at most, for so many of the requests."""

    percentile: Annotated[float, Field(ge=50, le=99)] = 95
    """Percent of the requests that must meet it."""
    milliseconds: Annotated[float, Field(gt=0, le=3_600_000)]
    """Milliseconds at most."""


class ObjectiveSettings(Settings):
    """What is fast enough, and cheap enough."""

    ttft: LatencyObjective | None = None
    """Time from a request's arrival to its first token."""
    tpot: LatencyObjective | None = None
    """Time per output token after the first."""
    max_usd_per_million_tokens: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """USD per million output tokens at most, at list price; input is not counted."""
