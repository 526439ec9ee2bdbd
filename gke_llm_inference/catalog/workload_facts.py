"""What servers are asked: lengths and arrivals of requests, by kind of use."""

from functools import cache

from pydantic import Field

from gke_llm_inference.catalog.facts import Facts
from gke_llm_inference.catalog.files import directory, read


class ProfileTokens(Facts):
    """Tokens of a prompt or an answer: log-normal with two percentiles, or all the same with one."""

    p50: int = Field(gt=0)
    p90: int | None = Field(default=None, gt=0)


class WorkloadProfile(Facts):
    """Requests of one kind of use."""

    input_tokens: ProfileTokens
    output_tokens: ProfileTokens
    burstiness: float = 1.0
    """Coefficient of variation of the gaps between requests."""
    prefix_cache_hit_rate: float = 0.0
    """Share of a prompt that the prefix cache has already."""
    source: str


@cache
def read_workload_profiles() -> dict[str, WorkloadProfile]:
    """The profiles that ship with the package, by name.

    Raises:
        pydantic.ValidationError: the file does not have the shape that this module states.

    """
    raw = read(directory() / "workloads.yaml")["profiles"]
    return {name: WorkloadProfile.model_validate(profile) for name, profile in sorted(raw.items())}
