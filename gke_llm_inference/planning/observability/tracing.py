"""Traces of a server's requests: what it is told, and why it may not send any. No text of a user is in a span."""

from collections.abc import Sequence

from gke_llm_inference.catalog.flags import ServerFlags
from gke_llm_inference.catalog.tracing_facts import ServerTracing
from gke_llm_inference.planning.extra import read_extra
from gke_llm_inference.planning.versions import version_parts
from gke_llm_inference.settings import Finding, ServerSettings, TracingSettings

_NO_TEXT = "spans go to a tracing backend, where they are kept and read by others than the users"


def tracing_of(tracing: TracingSettings | None, version: str, facts: ServerTracing) -> TracingSettings | None:
    """Where a version sends traces; None where the stack asks for none, or the version may send none.

    Args:
        tracing: what the stack asks for.
        version: version of the server.
        facts: what its versions can, and whether their spans hold text.

    """
    if facts.since is None or version_parts(version) < version_parts(facts.since):
        return None
    return tracing


def tracing_arguments(tracing: TracingSettings | None, facts: ServerTracing) -> tuple[str, ...]:
    """What makes a server send traces; nothing where it sends none."""
    return () if tracing is None else (f"{facts.endpoint_flag}={tracing.endpoint}",)


def tracing_environment(tracing: TracingSettings | None, name: str) -> dict[str, str]:
    """Variables of OpenTelemetry: what a server is called in traces, and which share of its requests is traced."""
    if tracing is None:
        return {}
    return {
        "OTEL_SERVICE_NAME": name,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": f"{tracing.sampling_ratio:g}",
    }


def tracing_findings(
    path: str,
    settings: ServerSettings,
    tracing: TracingSettings | None,
    version: str,
    facts: ServerTracing,
    versions: Sequence[ServerFlags],
) -> list[Finding]:
    """Why a server is not traced though the stack asks for it, and what its own arguments would send.

    Args:
        path: where the server stands in the configuration.
        settings: the settings of the server.
        tracing: what the stack asks for.
        version: its version.
        facts: what it can.
        versions: flags of its version, or of the neighbors of that.

    """
    given = [one for one in read_extra(settings.extra_args, versions) if one.name == facts.endpoint_flag]
    findings = [found for one in given if (found := _of_argument(f"{path}.extraArgs[{one.index}]", tracing, facts))]
    if tracing is None or tracing_of(tracing, version, facts) is not None:
        return findings
    why, fix = facts.before, f"use {facts.since} or later"
    if facts.text_in_spans:
        why, fix = f"its spans hold {facts.text_in_spans}, and {_NO_TEXT}", "use vLLM, whose spans hold no text"
    untraced = Finding(
        path=path,
        what=f"is not traced, though the stack has observability.tracing: it is {settings.server} {version}",
        why=why,
        fix=fix,
        severity="warning",
    )
    return [*findings, untraced]


def _of_argument(path: str, tracing: TracingSettings | None, facts: ServerTracing) -> Finding | None:
    if facts.text_in_spans:
        return Finding(
            path=path,
            what=f"{facts.endpoint_flag} sends {facts.text_in_spans} to a collector",
            why=_NO_TEXT,
            fix="remove it",
            severity="warning",
        )
    if tracing is None:
        return None
    return Finding(
        path=path,
        what=f"{facts.endpoint_flag} stands beside observability.tracing",
        why="the server takes one of the two addresses, and its network policy allows the other",
        fix="remove it",
    )
