"""The endpoint picker itself takes its configuration, has the rights that it needs, and chooses by what pods say.

It runs where ENDPOINT_PICKER names its program, built from llm-d/llm-d-router at the version in the catalog
(`go build ./cmd/epp`), beside the control plane; two stand-ins play the pods.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import yaml

from tests.cluster.support import NAMESPACE, Cluster, client, config_text, documents_of
from tests.planning.support import existing_stack, planned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import Recordings

PROGRAM = os.environ.get("ENDPOINT_PICKER", "")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="ENDPOINT_PICKER names no program")
BUSY, IDLE = "127.0.0.2", "127.0.0.3"
METRICS = {
    "vllm": ("vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc"),
    "tgi": ("tgi_queue_size", "tgi_batch_current_size"),
}


class Pods:
    """Two pods that answer with their metrics; one is busy."""

    def __init__(self, kind: str, port: int) -> None:
        self.busy = BUSY
        pods = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                load = 1 if self.connection.getsockname()[0] == pods.busy else 0
                text = "".join(f"# TYPE {name} gauge\n{name} {load}\n" for name in METRICS[kind])
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.servers = [ThreadingHTTPServer((address, port), Handler) for address in (BUSY, IDLE)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()


def field(number: int, value: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    length, size = b"", len(value)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def request(path: str, body: bytes) -> Iterator[bytes]:
    """What Envoy tells of a request: ProcessingRequest with its headers, then with its body."""
    headers = {":method": "POST", ":path": path, "content-type": "application/json"}
    listed = b"".join(field(1, field(1, key.encode()) + field(3, text.encode())) for key, text in headers.items())
    yield field(2, field(1, listed))
    yield field(4, field(1, body) + b"\x10\x01")


def raw(channel: grpc.Channel, method: str, *, stream: bool) -> Any:
    make = channel.stream_stream if stream else channel.unary_unary
    return make(method, request_serializer=bytes, response_deserializer=bytes)


def chosen(channel: grpc.Channel, path: str, body: bytes) -> str:
    """The pod that the picker chooses."""
    process = raw(channel, "/envoy.service.ext_proc.v3.ExternalProcessor/Process", stream=True)
    for answer in process(request(path, body), timeout=20):
        for address in (BUSY, IDLE):
            if b"x-gateway-destination-endpoint" in answer and address.encode() in answer:
                return address
    return "none"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def kubeconfig(cluster: Cluster, account: str, path: Path) -> Path:
    """A kubeconfig with the rights of a service account alone."""
    review = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
    token = cluster.core.create_namespaced_service_account_token(account, NAMESPACE, review).status.token
    document = yaml.safe_load(cluster.kubeconfig.read_text("utf-8"))
    for user in document["users"]:
        user["user"] = {"token": token}
    path.write_text(yaml.safe_dump(document), "utf-8")
    path.chmod(0o600)
    return path


def standing(cluster: Cluster, name: str, labels: dict[str, str], address: str) -> None:
    """A pod that no node takes, and that is ready at an address of this machine."""
    spec = {"nodeSelector": {"nowhere": "yes"}, "containers": [{"name": "one", "image": "stand-in:1"}]}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": spec,
        }
    )
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
    cluster.core.patch_namespaced_pod_status(name, NAMESPACE, {"status": status})


@pytest.mark.parametrize("kind", ["vllm", "tgi"])
def test_the_picker_chooses_the_pod_that_has_less_to_do(
    kind: str, standard: Cluster, recordings: Recordings, tmp_path: Path
) -> None:
    server = {"server": kind, "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096, "allowUnfit": True}
    settings = {
        **existing_stack({"chat": {**server, "replicas": 2, "exposure": "internal", "hostname": "llm.example.com"}}),
        "gateway": {"routing": "inferenceGateway", "proxySubnet": {"mode": "existing", "cidr": "10.99.0.0/23"}},
    }
    plan = planned(settings)
    picker = plan.access.servers[0].picker
    assert picker
    for document in documents_of(recordings.config(config_text(settings))):
        if document["kind"] != "Deployment":
            standard.apply(document)
    for name, address in (("one", BUSY), ("other", IDLE)):
        standing(standard, name, plan.servers[0].labels, address)
    (tmp_path / picker.config_file).write_text(yaml.safe_dump(dict(picker.configuration), sort_keys=False), "utf-8")
    picks, health = free_port(), free_port()
    ours = {
        "--config-file": str(tmp_path / picker.config_file),
        "--grpc-port": str(picks),
        "--grpc-health-port": str(health),
        "--metrics-port": str(free_port()),
        "--drain-timeout": "0s",
        # No load balancer is here that would speak TLS with it.
        "--secure-serving": "false",
    }
    planned_ = [one for one in picker.arguments if one.partition("=")[0] not in ours]
    pods = Pods(kind, plan.servers[0].port)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, *planned_, *(f"{flag}={value}" for flag, value in ours.items())],
            env={"KUBECONFIG": str(kubeconfig(standard, picker.name, tmp_path / "kubeconfig")), "HOME": str(tmp_path)},
            stdout=log,
            stderr=log,
        )
    try:
        check = raw(grpc.insecure_channel(f"127.0.0.1:{health}"), "/grpc.health.v1.Health/Check", stream=False)
        standard.wait(lambda: _serves(check, process), "the picker serves")
        channel = grpc.insecure_channel(f"127.0.0.1:{picks}")
        time.sleep(2)
        paths = {
            f"/v1/chat/completions {index}": (
                "/v1/chat/completions",
                f'{{"model": "m", "messages": [{{"role": "user", "content": "number {index}"}}]}}'.encode(),
            )
            for index in range(5)
        } | {"a path of its own": ("/generate", b'{"inputs": "x"}')}
        assert {key: chosen(channel, *one) for key, one in paths.items()} == dict.fromkeys(paths, IDLE)
        pods.busy = IDLE
        time.sleep(2)
        other = b'{"model": "m", "messages": [{"role": "user", "content": "something else"}]}'
        assert chosen(channel, "/v1/chat/completions", other) == BUSY
        standard.core.delete_namespaced_pod("one", NAMESPACE)
        time.sleep(2)
        assert chosen(channel, "/v1/chat/completions", other) == IDLE, "a pod that is gone is not chosen"
    finally:
        process.terminate()
        process.wait(30)
        pods.stop()
    text = (tmp_path / "log").read_text("utf-8", errors="replace")
    assert "forbidden" not in text
    assert "something else" not in text, "no prompt is in the log"


def _serves(check: Any, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the picker has ended"
    try:
        return bool(check(field(1, b"readiness"), timeout=2) == b"\x08\x01")
    except grpc.RpcError:
        return False
