"""What the inference servers send to a collector of OpenTelemetry, by version."""

from gke_llm_inference.catalog.facts import Facts, ServerKind
from gke_llm_inference.catalog.files import directory, read


class ServerTracing(Facts):
    """Traces of one server."""

    source: str
    date: str
    since: str | None = None
    """Version from which its image can send traces; None where no version may."""
    before: str = ""
    """Why an earlier one cannot."""
    endpoint_flag: str
    """Flag for the collector's address."""
    attributes: tuple[str, ...] = ()
    """Everything that a request's span says of it, sorted."""
    text_in_spans: str = ""
    """What users write or read that spans hold, whatever one sets; empty where they hold none."""


def read_tracing() -> dict[ServerKind, ServerTracing]:
    """The facts that ship with the package, by server.

    Raises:
        pydantic.ValidationError: a file does not have the shape that this module states.

    """
    kinds: tuple[ServerKind, ...] = ("tgi", "vllm")
    root = directory("servers/tracing")
    return {kind: ServerTracing.model_validate(read(root / f"{kind}.yaml")) for kind in kinds}
