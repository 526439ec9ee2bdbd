"""Settings of tracing: where the servers send the spans of their requests."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from gke_llm_inference.settings.base import Settings, refused
from gke_llm_inference.settings.network_policy import KubernetesLabels, Port

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_ENDPOINT = re.compile(
    rf"http://(?P<service>{_LABEL})\.(?P<namespace>{_LABEL})\.svc(\.cluster\.local)?:(?P<port>[0-9]+)"
)
_HIGHEST_PORT = 65535


def _endpoint(text: str) -> str:
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= _HIGHEST_PORT:
        raise refused(
            "is not the address of a collector in the cluster",
            "servers send spans in clear text and without a key, so a collector beside them takes them, and sends them "
            "on with its own identity",
            "write http://SERVICE.NAMESPACE.svc.cluster.local:4317, the collector's port for OTLP over gRPC",
        )
    return text


CollectorEndpoint = Annotated[str, AfterValidator(_endpoint)]


class TracingSettings(Settings):
    """Traces of OpenTelemetry: a span for each request, with its times and numbers of tokens, and no text."""

    endpoint: CollectorEndpoint
    """The collector's address for OTLP over gRPC: http://SERVICE.NAMESPACE.svc.cluster.local:4317."""
    sampling_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the requests that are traced; one that comes with a trace of its own is traced if that is."""
    collector_labels: KubernetesLabels = {}
    """Labels of the collector's pods, for the network policy; every pod of its namespace if empty."""
    collector_port: Port | None = None
    """Port of the collector's pods, where it is not the Service's."""

    @property
    def namespace(self) -> str:
        """Namespace of the collector."""
        match = _ENDPOINT.fullmatch(self.endpoint)
        assert match is not None
        return match["namespace"]

    @property
    def port(self) -> int:
        """Port of the collector's pods."""
        match = _ENDPOINT.fullmatch(self.endpoint)
        assert match is not None
        return self.collector_port or int(match["port"])
