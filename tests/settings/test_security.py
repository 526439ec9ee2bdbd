"""One environment held against another: every weaker security setting is found, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from gke_llm_inference.cli.main import main
from gke_llm_inference.settings import Refusal, parse_settings
from gke_llm_inference.settings.security import weaker_settings
from tests.settings.strategies import RAW_STACKS
from tests.settings.support import PROPERTY, Raw, autopilot_stack

if TYPE_CHECKING:
    from gke_llm_inference.settings import Finding

DIGEST = f"vllm/vllm-openai@sha256:{'0' * 64}"
TAG = "vllm/vllm-openai:v0.26.0"
KEY = "projects/keys-of-acme/locations/us-central1/keyRings/gke/cryptoKeys/secrets"
COMMIT = "0123456789" * 4
SECRET_MANAGER = {"tokenSource": "secretManager", "secret": "hf", "projectNumber": "123456789012"}
EXISTING = {"mode": "existing", "kubeconfigContext": "c"}


def weaker(prod: Raw, staging: Raw) -> list[Finding]:
    return weaker_settings(parse_settings(prod), name="prod", than=parse_settings(staging), than_name="staging")


def cluster(**more: Any) -> Raw:
    raw = autopilot_stack()
    return {**raw, "cluster": {**raw["cluster"], **more}}


def networks(*ranges: str) -> Raw:
    return cluster(authorizedNetworks=[{"cidr": text} for text in ranges])


def token(**settings: Any) -> Raw:
    return {**autopilot_stack(), "huggingFace": settings}


ANY: Raw = {"namespaceLabels": {}}


def callers(*peers: Raw) -> Raw:
    return {**autopilot_stack(), "networkPolicy": {"allowFrom": list(peers)}}


def reached(**gateway: Any) -> Raw:
    return {**autopilot_stack(), "gateway": {"exposure": "external", **gateway}}


def pods(**pod: Any) -> Raw:
    return autopilot_stack(pod=pod)


def patched(*overrides: str, **spec: Any) -> Raw:
    return autopilot_stack(podPatch={"patch": {"spec": spec}, "overrides": list(overrides)})


def watched(**alerts: Any) -> Raw:
    return {**autopilot_stack(), "observability": {"metrics": {"enabled": True}, "alerts": alerts}}


def traced(**more: Any) -> Raw:
    endpoint = "http://collector.telemetry.svc.cluster.local:4317"
    return {**autopilot_stack(), "observability": {"tracing": {"endpoint": endpoint, **more}}}


CHANNEL = "projects/my-project/notificationChannels/1"
SIDECAR = {"name": "proxy", "image": "proxy:1", "cpu": 1, "memoryGib": 1}
FROM_SECRET = {"secret": "bucket", "key": "key"}

# Each pair is (weak, strong): prod weak and staging strong is refused, the other way round is fine.
PAIRS = {
    "cluster.mode": ({**autopilot_stack(), "cluster": EXISTING}, autopilot_stack()),
    "cluster.deletionProtection": (cluster(deletionProtection=False), cluster()),
    "cluster.authorizedNetworks[0]": (networks("10.0.0.0/8"), networks("10.0.0.0/16")),
    "cluster.databaseEncryption": (cluster(), cluster(databaseEncryption={"key": KEY})),
    "huggingFace.tokenSource": (token(tokenSource="config"), token(tokenSource="existingSecret")),
    "createNamespace": ({**autopilot_stack(), "createNamespace": False}, autopilot_stack()),
    "networkPolicy.enabled": ({**autopilot_stack(), "networkPolicy": {"enabled": False}}, autopilot_stack()),
    "networkPolicy.allowFrom": (autopilot_stack(), {**autopilot_stack(), "networkPolicy": {"allowFrom": []}}),
    "networkPolicy.allowFrom[1]": (callers({"podLabels": {"a": "b"}}, ANY), callers({"podLabels": {"a": "b"}})),
    "servers.gemma.networkPolicy.allowTo[0]": (
        autopilot_stack(networkPolicy={"allowTo": [{"cidr": "10.0.0.0/8", "ports": [443]}]}),
        autopilot_stack(networkPolicy={"allowTo": []}),
    ),
    "servers.gemma.pod.containers[0]": (pods(containers=[SIDECAR]), pods()),
    "servers.gemma.pod.initContainers[0].writable": (
        pods(initContainers=[{**SIDECAR, "writable": True}]),
        pods(initContainers=[SIDECAR]),
    ),
    "servers.gemma.pod.env.A": (pods(env={"A": FROM_SECRET}), pods(env={"A": {"configMap": "bucket", "key": "key"}})),
    "servers.gemma.pod.envFrom[0]": (
        pods(envFrom=[{"secret": "a", "prefix": "A_"}]),
        pods(envFrom=[{"configMap": "a", "prefix": "A_"}]),
    ),
    "servers.gemma.pod.volumes[0]": (
        pods(volumes=[{"name": "a", "secret": "a", "mountPath": "/mnt/a"}]),
        pods(),
    ),
    "servers.gemma.pod.runtimeClass": (pods(), pods(runtimeClass="gvisor")),
    "servers.gemma.podPatch.patch": (patched(dnsPolicy="Default"), autopilot_stack()),
    "servers.gemma.podPatch.overrides[0]": (patched("spec.hostNetwork", a=1), patched(a=1)),
    "servers.gemma.extraArgs": (autopilot_stack(extraArgs=["--trust-remote-code"]), autopilot_stack()),
    "servers.gemma.keepCompileCache": (autopilot_stack(keepCompileCache={"storage": "disk"}), autopilot_stack()),
    "servers.gemma.image": (autopilot_stack(image=TAG), autopilot_stack(image=DIGEST)),
    "imageDigests": (autopilot_stack(), {**autopilot_stack(), "imageDigests": {TAG: f"sha256:{'0' * 64}"}}),
    "servers.gemma.revision": (autopilot_stack(revision="main"), autopilot_stack(revision=COMMIT)),
    "servers.gemma.exposure": (autopilot_stack(exposure="external"), autopilot_stack(exposure="internal")),
    "servers.gemma.apiKeys": (autopilot_stack(), autopilot_stack(apiKeys={"source": "config"})),
    "servers.gemma.routes[0]": (autopilot_stack(routes=[{"path": "/generate"}]), autopilot_stack()),
    "gateway.tls": (reached(), reached(tls={"source": "secret", "secretName": "tls"})),
    "gateway.rateLimit": (reached(), reached(rateLimit={"requests": 60})),
    "observability.alerts.enabled": (watched(), watched(enabled=True)),
    "observability.alerts.notificationChannels": (
        watched(enabled=True),
        watched(enabled=True, notificationChannels=[CHANNEL]),
    ),
    "observability.tracing": (traced(), autopilot_stack()),
    "observability.tracing.collectorLabels": (traced(), traced(collectorLabels={"app": "collector"})),
}


def test_a_recorded_commit_is_as_good_as_one_of_the_servers_own() -> None:
    model = autopilot_stack()["servers"]["gemma"]["model"]
    recorded = {**autopilot_stack(), "modelRevisions": {model: COMMIT}}
    assert weaker(recorded, autopilot_stack(revision=COMMIT)) == []
    (found,) = weaker(autopilot_stack(), recorded)
    assert found.path == "servers.gemma.revision"
    assert found.fix.endswith("gke-llm-inference models --stack prod --record")


@pytest.mark.parametrize(("path", "pair"), PAIRS.items(), ids=PAIRS)
def test_a_weaker_setting_is_found_with_reason_and_fix(path: str, pair: tuple[Raw, Raw]) -> None:
    weak, strong = pair
    (found,) = weaker(weak, strong)
    assert found.path == path
    assert found.why
    assert "prod" in found.fix
    assert weaker(strong, weak) == []
    assert weaker(weak, weak) == weaker(strong, strong) == []


@pytest.mark.parametrize(
    ("prod", "staging", "weaker_ones"),
    [
        ([], [], []),
        ([], ["10.0.0.0/8"], []),
        (["10.0.0.0/8"], [], [0]),
        (["10.1.0.0/16", "192.0.2.0/24"], ["10.0.0.0/8"], [1]),
        (["10.0.0.0/24"], ["10.0.0.0/25", "10.0.0.128/25"], []),
        (["0.0.0.0/0"], ["0.0.0.0/0"], []),
        (["10.0.0.0/8", "0.0.0.0/0"], ["192.0.2.0/24"], [0, 1]),
    ],
)
def test_each_range_must_lie_within_those_of_the_other(
    prod: list[str], staging: list[str], weaker_ones: list[int]
) -> None:
    found = weaker(networks(*prod), networks(*staging))
    assert [one.path for one in found] == [f"cluster.authorizedNetworks[{index}]" for index in weaker_ones]


@pytest.mark.parametrize(
    ("prod", "staging", "count"),
    [
        ("config", "secretManager", 1),
        ("existingSecret", "secretManager", 1),
        ("config", "existingSecret", 1),
        ("secretManager", "config", 0),
        ("none", "secretManager", 0),
        ("config", "none", 0),
    ],
)
def test_token_sources_have_an_order(prod: str, staging: str, count: int) -> None:
    def stack(source: str) -> Raw:
        return token(**SECRET_MANAGER) if source == "secretManager" else token(tokenSource=source)

    assert len(weaker(stack(prod), stack(staging))) == count


def test_all_weaker_settings_are_found_together() -> None:
    prod = {
        **autopilot_stack(image=TAG, extraArgs=["--trust_remote_code=true"]),
        **{key: cluster(deletionProtection=False)[key] for key in ("cluster",)},
        "createNamespace": False,
    }
    staging = {**autopilot_stack(image=DIGEST, revision=COMMIT), "huggingFace": SECRET_MANAGER}
    assert [found.path for found in weaker(prod, staging)] == [
        "cluster.deletionProtection",
        "createNamespace",
        "huggingFace.tokenSource",
        "servers.gemma.extraArgs",
        "servers.gemma.image",
        "servers.gemma.revision",
    ]


@given(one=RAW_STACKS, other=RAW_STACKS)
@PROPERTY
def test_nothing_is_weaker_than_itself_and_the_order_has_no_cycle(one: Raw, other: Raw) -> None:
    try:
        parse_settings(one), parse_settings(other)
    except Refusal:
        return
    assert weaker(one, one) == []
    if not weaker(one, other) and not weaker(other, one):
        return
    both = {found.path for found in weaker(one, other)} & {found.path for found in weaker(other, one)}
    assert all(path.startswith(("cluster.authorizedNetworks", "networkPolicy.allow", "servers.")) for path in both)


def test_prod_of_this_repository_is_at_least_as_strong_as_staging(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "security", "--stack", "prod", "--at-least", "staging"]) == 0
    assert capsys.readouterr().out == "prod is at least as strong as staging in every security setting\n"


def test_the_command_says_which_file_is_weaker_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "security", "--stack", "dev", "--at-least", "prod"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "error: dev is weaker than prod in 3 settings:"
    assert [line for line in lines if not line.startswith((" ", "error"))] == [
        "cluster.deletionProtection (Pulumi.dev.yaml): is off in dev and on in prod",
        "huggingFace.tokenSource (stack-base.yaml): is config in dev and secretManager in prod",
        "observability.alerts.enabled (Pulumi.dev.yaml): is off in dev and on in prod",
    ]
