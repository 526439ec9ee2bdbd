"""What the inference servers do when their pods end, by version, and what they log."""

from typing import Literal

from pydantic import Field

from gke_llm_inference.catalog.facts import Facts, Positive, ServerKind
from gke_llm_inference.catalog.files import directory, read


class Drain(Facts):
    """What a server does after SIGTERM, from a version on."""

    since: str
    after: Literal["cuts", "waits", "ignores"]
    """Whether it ends at once and cuts running answers, waits for them, or never gets the signal and goes on until it
    is killed."""
    flag: str | None = None
    """Flag for how many seconds it waits; None where it has none."""
    seconds: Positive | None = None
    """How many it waits where it has no flag for that."""


class PromptLog(Facts):
    """A flag with which the log holds what users write or read."""

    flag: str
    what: str
    """What it then holds."""


class ServerShutdown(Facts):
    """What one server does when its pods end, and what it logs."""

    source: str
    date: str
    drains: tuple[Drain, ...] = Field(min_length=1)
    """Oldest version first."""
    logs_prompts_before: str | None = None
    """Versions before this log every prompt unless they get `no_prompts_flag`; None where none does."""
    no_prompts_flag: str | None = None
    prompt_logs: tuple[PromptLog, ...] = ()


def read_shutdown() -> dict[ServerKind, ServerShutdown]:
    """The facts that ship with the package, by server.

    Raises:
        pydantic.ValidationError: a file does not have the shape that this module states.

    """
    kinds: tuple[ServerKind, ...] = ("tgi", "vllm")
    root = directory("servers/shutdown")
    return {kind: ServerShutdown.model_validate(read(root / f"{kind}.yaml")) for kind in kinds}
