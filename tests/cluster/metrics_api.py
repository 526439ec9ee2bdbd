"""A metrics adapter: custom and external metrics for the autoscaler, behind the API server's aggregation layer."""

import base64
import datetime
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from local.gke.certificates import Authority
from tests.cluster.support import Cluster, Document, client

CUSTOM, EXTERNAL = "custom.metrics.k8s.io/v1beta2", "external.metrics.k8s.io/v1beta1"
NAMESPACE = "custom-metrics"
"""Where Google's adapter runs, too."""

_NAME = "metrics-adapter"
_PODS = re.compile(rf"/apis/{CUSTOM}/namespaces/(?P<namespace>[^/]+)/pods/\*/(?P<metric>[^/]+)")
_VALUE = re.compile(rf"/apis/{EXTERNAL}/namespaces/(?P<namespace>[^/]+)/(?P<metric>[^/]+)")

PodValues = Callable[[str], Mapping[str, float] | None]
"""A metric's values by pod; None for a metric that nobody exports."""
Value = Callable[[str], float | None]
"""The value of a metric that belongs to no pod; None for one that nobody exports."""


@dataclass
class MetricsApi:
    """What the adapter answers, and who asked.

    Attributes:
        of_pods: values of a custom metric.
        external: the value of an external metric.
        users: whom the API server said that it asks for.

    """

    of_pods: PodValues
    external: Value = lambda _metric: None
    users: set[str] = field(default_factory=set)

    def answer(self, path: str) -> Document | None:
        """The document at a path; None if there is none."""
        for version in (CUSTOM, EXTERNAL):
            if path == f"/apis/{version}":
                return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": []}
        if asked := _PODS.fullmatch(path):
            values = self.of_pods(asked["metric"])
            return None if values is None else _values_of_pods(asked["namespace"], asked["metric"], values)
        if asked := _VALUE.fullmatch(path):
            value = self.external(asked["metric"])
            return None if value is None else _external_value(asked["metric"], value)
        return None


def _values_of_pods(namespace: str, metric: str, values: Mapping[str, float]) -> Document:
    return {
        "kind": "MetricValueList",
        "apiVersion": CUSTOM,
        "metadata": {},
        "items": [
            {
                "describedObject": {"kind": "Pod", "namespace": namespace, "name": pod, "apiVersion": "/v1"},
                "metric": {"name": metric},
                "timestamp": _now(),
                "value": _quantity(value),
            }
            for pod, value in sorted(values.items())
        ],
    }


def _external_value(metric: str, value: float) -> Document:
    return {
        "kind": "ExternalMetricValueList",
        "apiVersion": EXTERNAL,
        "metadata": {},
        "items": [{"metricName": metric, "metricLabels": {}, "timestamp": _now(), "value": _quantity(value)}],
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _quantity(value: float) -> str:
    return f"{round(value * 1000)}m"


@contextmanager
def served(cluster: Cluster, api: MetricsApi, directory: Path) -> Iterator[None]:
    """Serve a metrics API, and register it with a cluster until its controllers find it.

    It lets in the API server alone, by the certificate that the control plane has for that, as adapters do.
    """
    authority = Authority(directory, "adapter-authority")
    own = authority.server("adapter", (f"{_NAME}.{NAMESPACE}.svc",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    context.load_verify_locations(cadata=_whom_to_trust(cluster))
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    documents = list(_registration(server.server_address[1], authority.files.certificate.read_bytes()))
    try:
        for document in documents:
            cluster.apply(document)
        cluster.wait(lambda: _is_available(cluster), "the metrics API")
        yield
    finally:
        for document in reversed(documents):
            cluster.delete(document)
        server.shutdown()
        thread.join()
        server.server_close()


def _whom_to_trust(cluster: Cluster) -> str:
    """The authority of whoever may speak for other users, as the API server publishes it."""
    published: str = cluster.core.read_namespaced_config_map("extension-apiserver-authentication", "kube-system").data[
        "requestheader-client-ca-file"
    ]
    return published


def _registration(port: int, authority: bytes) -> Iterator[Document]:
    """What leads the API server to the adapter. No network is simulated, so its Service is a name of this machine."""
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    for one in (CUSTOM, EXTERNAL):
        group, _, version = one.partition("/")
        yield {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": base64.b64encode(authority).decode(),
                "service": {"name": _NAME, "namespace": NAMESPACE, "port": port},
            },
        }


def _is_available(cluster: Cluster) -> bool:
    services = client.ApiregistrationV1Api(cluster.api).list_api_service().items
    own = [one for one in services if one.spec.service and one.spec.service.name == _NAME]
    return len(own) == 2 and all(
        condition.status == "True"
        for one in own
        for condition in one.status.conditions or ()
        if condition.type == "Available"
    )


def _handler(api: MetricsApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            api.users.add(self.headers.get("X-Remote-User", ""))
            document = api.answer(unquote(urlsplit(self.path).path))
            body = json.dumps(document or {"kind": "Status", "apiVersion": "v1", "code": 404}).encode()
            self.send_response(404 if document is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, *_: object) -> None:
            """Say nothing."""

    return Handler
