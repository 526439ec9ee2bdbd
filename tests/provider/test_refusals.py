"""What cannot work is refused before anything is registered, each problem at its property."""

from typing import Any

import grpc
import pytest

from gke_llm_inference.preview.recorder import Recorder
from gke_llm_inference.provider.arguments import SERVER_TYPE, STACK_TYPE
from tests.provider.support import TOKEN, UNKNOWN, PropertyErrors, Provider, output, secret

MODEL = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}
STACK: dict[str, Any] = {
    "cluster": {"mode": "existing", "kubeconfigContext": "local"},
    "servers": {"qwen": MODEL},
}
FROM_CONFIG = {**STACK, "huggingFace": {"tokenSource": "config"}}


def reasons(provider: Provider, type_: str, inputs: dict[str, Any], **options: Any) -> dict[str, str]:
    """First line of the reason of each property."""
    with pytest.raises(PropertyErrors) as refused:
        provider.construct(type_, inputs, **options)
    assert TOKEN not in refused.value.text
    return {path: reason.partition("\n")[0] for path, reason in refused.value.reasons.items()}


def server(**changes: Any) -> dict[str, Any]:
    return {**STACK, "servers": {"qwen": {**MODEL, **changes}}}


def cluster(**changes: Any) -> dict[str, Any]:
    return {**STACK, "cluster": {"mode": "autopilot", "location": "us-central1", **changes}}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param({}, {"cluster": "is missing", "servers": "is missing"}, id="nothing"),
        pytest.param(
            {**STACK, "namespacee": "chat", "huggingfacetoken": "x"},
            {"namespacee": "is not a known argument", "huggingfacetoken": "is not a known argument"},
            id="unknown arguments",
        ),
        pytest.param(
            {**server(maxModelLenn=1), "servrs": {}},
            {"servers.qwen.maxModelLenn": "is not a known key", "servrs": "is not a known argument"},
            id="unknown at two levels",
        ),
        pytest.param(
            server(podPatch={"patch": {"spec": {"containers": [{"name": "inference-server", "livenessProbe": None}]}}}),
            {"servers.qwen.podPatch.patch.spec.containers[0].livenessProbe": "is null"},
            id="null in a patch",
        ),
        pytest.param(
            server(podPatch={"patch": {"spec": {"hostAlias": []}}}),
            {"servers.qwen.podPatch.patch.spec.hostAlias": "is not a known key"},
            id="unknown field of a pod",
        ),
        pytest.param(server(maxModelLen="4096"), {"servers.qwen.maxModelLen": "is not a whole number"}, id="text"),
        pytest.param(server(maxModelLen=4096.5), {"servers.qwen.maxModelLen": "is not a whole number"}, id="fraction"),
        pytest.param(server(version=0.26), {"servers.qwen.version": "is not text"}, id="number"),
        pytest.param({**STACK, "servers": [MODEL]}, {"servers": "is not a mapping of names to entries"}, id="list"),
        pytest.param(
            {**STACK, "gcpProject": 7},
            {"gcpProject": "is not text"},
            id="project",
        ),
        pytest.param(
            cluster(),
            {"gcpProject": "is missing"},
            id="no project",
        ),
        pytest.param(
            {**STACK, "cluster": {"mode": "autopilott"}},
            {"cluster.mode": "is not a known choice"},
            id="choice",
        ),
        pytest.param(
            server(workload={"profile": "chta"}),
            {"servers.qwen.workload.profile": "chta is not a profile of the catalog"},
            id="profile",
        ),
        pytest.param(
            server(workload={"inputTokens": {"p50": 1000.5}, "requestRate": -1.0}),
            {
                "servers.qwen.workload.inputTokens.p50": "is not a whole number",
                "servers.qwen.workload.requestRate": "input should be greater than 0",
            },
            id="workload",
        ),
        pytest.param(
            server(configFile="config.json"),
            {"servers.qwen.configFile": "is a relative path"},
            id="relative path",
        ),
        pytest.param(
            server(configFile="/nowhere/config.json"),
            {"servers.qwen.configFile": "config.json cannot be read"},
            id="no such file",
        ),
        pytest.param(
            server(calibration="l4.json", configFile="config.json"),
            {
                "servers.qwen.calibration": "is a relative path",
                "servers.qwen.configFile": "is a relative path",
            },
            id="relative paths",
        ),
        pytest.param(
            server(calibration="/nowhere/l4.json"),
            {"servers.qwen.calibration": "l4.json cannot be read"},
            id="no such calibration",
        ),
    ],
)
def test_missing_unknown_and_mistyped_arguments(
    provider: Provider, inputs: dict[str, Any], expected: dict[str, str]
) -> None:
    assert reasons(provider, STACK_TYPE, inputs) == expected


def test_objectives_that_are_missed_are_refused_at_their_property(provider: Provider) -> None:
    workload = {"inputTokens": 100.0, "outputTokens": {"p50": 10.0}}
    found = reasons(provider, STACK_TYPE, server(workload=workload, objectives={"tpot": {"milliseconds": 1.0}}))
    assert list(found) == ["servers.qwen.objectives.tpot"]
    assert found["servers.qwen.objectives.tpot"].startswith("is missed: TPOT p95 is ")


@pytest.mark.parametrize(
    ("inputs", "path", "what"),
    [
        pytest.param(server(maxModelLen=UNKNOWN), "servers.qwen.maxModelLen", "is an Output whose value", id="unknown"),
        pytest.param(
            server(model=output("Qwen/Qwen2.5-7B-Instruct")), "servers.qwen.model", "is an Output", id="known"
        ),
        pytest.param(server(replicas=output(known=False)), "servers.qwen.replicas", "is an Output", id="output"),
        pytest.param(server(extraArgs=["--a", output("x")]), "servers.qwen.extraArgs[1]", "is an Output", id="item"),
        pytest.param({**STACK, "namespace": secret("chat")}, "namespace", "is a secret", id="secret"),
        pytest.param(
            server(extraEnv={"MY.KEY": output("x", secret=True)}),
            'servers.qwen.extraEnv["MY.KEY"]',
            "is a secret",
            id="secret output",
        ),
        pytest.param({**STACK, "gcpProject": output("p")}, "gcpProject", "is an Output", id="project"),
        pytest.param({**STACK, "servers": UNKNOWN}, "servers", "is an Output whose value", id="all servers"),
    ],
)
def test_an_output_where_a_plain_value_is_needed(
    provider: Provider, inputs: dict[str, Any], path: str, what: str
) -> None:
    ((found, reason),) = reasons(provider, STACK_TYPE, inputs).items()
    assert found == path
    assert reason.startswith(what)


@pytest.mark.parametrize(
    ("type_", "inputs", "expected"),
    [
        pytest.param(
            STACK_TYPE,
            {**server(maxModelLenn=1), "namespace": output("chat"), "cluster": {"mode": "autopilott"}, "servrs": {}},
            {
                "namespace": "is an Output",
                "cluster.mode": "is not a known choice",
                "servers.qwen.maxModelLenn": "is not a known key",
                "servrs": "is not a known argument",
            },
            id="an unknown key, a wrong mode, an unknown argument",
        ),
        pytest.param(
            STACK_TYPE,
            {**server(model=UNKNOWN, replicas="two", extraArgs=["--a", output("x"), 3]), "gcpProject": 7},
            {
                "servers.qwen.model": "is an Output whose value is not known yet",
                "servers.qwen.extraArgs[1]": "is an Output",
                "servers.qwen.extraArgs[2]": "is not text",
                "servers.qwen.replicas": "is not a whole number",
                "gcpProject": "is not text",
            },
            id="beside a required key and in a list",
        ),
        pytest.param(
            STACK_TYPE,
            {**server(maxModelLenn=output(1)), "namespacee": secret("x"), "cluster": output(known=False)},
            {
                "servers.qwen.maxModelLenn": "is not a known key",
                "namespacee": "is not a known argument",
                "cluster": "is an Output",
            },
            id="at keys that do not exist",
        ),
        pytest.param(
            STACK_TYPE,
            {**server(extraEnv={"MY.KEY": output("x")}, port="a"), "huggingFaceToken": TOKEN},
            {
                'servers.qwen.extraEnv["MY.KEY"]': "is an Output",
                "servers.qwen.port": None,
                "huggingFaceToken": "is not a secret",
            },
            id="beside a key with a dot, and a token that is not a secret",
        ),
        pytest.param(
            STACK_TYPE,
            {**server(extraEnv={"A": TOKEN}), "namespace": output("x")},
            {"servers.qwen.extraEnv.A": "holds a Hugging Face token in clear text", "namespace": "is an Output"},
            id="a token in clear",
        ),
        pytest.param(
            SERVER_TYPE,
            {"profile": output("standard"), "servers": {}, "namespace": "Chat"},
            {
                "profile": "is an Output",
                "server": "is missing",
                "servers": "is not a known argument",
                "namespace": "is not a DNS label",
            },
            id="of a server",
        ),
    ],
)
def test_an_output_hides_no_other_problem(
    provider: Provider, type_: str, inputs: dict[str, Any], expected: dict[str, str | None]
) -> None:
    found = reasons(provider, type_, inputs)
    assert found.keys() == expected.keys()
    for path, what in expected.items():
        assert what is None or found[path] == what


def test_a_known_value_that_came_from_a_resource_is_an_output_too(provider: Provider) -> None:
    urns = {"namespace": ["urn:pulumi:test::gke-llm-inference::kubernetes:core/v1:Namespace::chat"]}
    assert reasons(provider, STACK_TYPE, {**STACK, "namespace": "chat"}, dependencies=urns) == {
        "namespace": "is an Output of another resource"
    }


@pytest.mark.parametrize(
    ("token", "what"),
    [
        pytest.param(TOKEN, "is not a secret", id="clear"),
        pytest.param(output(TOKEN), "is not a secret", id="output"),
        pytest.param(secret(7), "is not text", id="number"),
        pytest.param(secret(""), "is empty", id="empty"),
        pytest.param(output({"a": TOKEN}, secret=True), "is not text", id="map"),
    ],
)
def test_a_token_that_is_not_a_secret_text(provider: Provider, token: Any, what: str) -> None:
    assert reasons(provider, STACK_TYPE, {**FROM_CONFIG, "huggingFaceToken": token}) == {"huggingFaceToken": what}


def test_a_deployment_needs_the_token_and_a_preview_does_not(provider: Provider) -> None:
    assert reasons(provider, STACK_TYPE, FROM_CONFIG, preview=False) == {"huggingFaceToken": "is missing"}
    provider.construct(STACK_TYPE, FROM_CONFIG)


def test_a_token_that_nothing_would_read(provider: Provider) -> None:
    assert reasons(provider, STACK_TYPE, {**STACK, "huggingFaceToken": secret(TOKEN)}) == {
        "huggingFaceToken": "is set, but huggingFace.tokenSource is not config"
    }


def test_a_token_in_the_wrong_place_is_found_and_never_echoed(provider: Provider) -> None:
    found = reasons(provider, STACK_TYPE, server(extraEnv={"HF_TOKEN": TOKEN}))
    assert found == {"servers.qwen.extraEnv.HF_TOKEN": "holds a Hugging Face token in clear text"}


def test_decisions_of_the_plan_are_refused_at_their_property(provider: Provider) -> None:
    with pytest.raises(PropertyErrors) as refused:
        provider.construct(STACK_TYPE, server(maxModelLen=200_000))
    ((path, reason),) = refused.value.reasons.items()
    assert path == "servers.qwen.maxModelLen"
    assert [line.split(":")[0] for line in reason.splitlines()[1:]] == ["  why", "  fix"]
    assert "the arguments have 1 problem" in refused.value.text


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param({}, {"server": "is missing"}, id="nothing"),
        pytest.param({"server": {"server": "vllm"}}, {"server.model": "is missing"}, id="no model"),
        pytest.param({"server": {**MODEL, "maxModelLen": 200_000}}, {"server.maxModelLen": None}, id="plan"),
        pytest.param(
            {"server": {**MODEL, "nodePool": "l4"}, "profile": "autopilot"}, {"server.nodePool": None}, id="pool"
        ),
        pytest.param(
            {"server": MODEL, "huggingFace": {"tokenSource": "config"}},
            {"huggingFace.tokenSource": "is not a known choice"},
            id="token of the config",
        ),
        pytest.param(
            {"server": MODEL, "servers": {"a": MODEL}, "cluster": {}},
            {"servers": "is not a known argument", "cluster": "is not a known argument"},
            id="arguments of a stack",
        ),
        pytest.param(
            {"server": {**MODEL, "modelSource": {"source": "modelStore"}}},
            {"server.modelSource": "needs a whole stack"},
            id="store",
        ),
        pytest.param({"server": MODEL, "namespace": "Chat"}, {"namespace": "is not a DNS label"}, id="namespace"),
        pytest.param({"server": MODEL, "profile": "gke"}, {"profile": "is not a known choice"}, id="profile"),
        pytest.param({"server": MODEL, "tokenVersion": 7}, {"tokenVersion": "is not text"}, id="token version"),
        pytest.param(
            {"server": {**MODEL, "extraEnv": {"A": TOKEN}}},
            {"server.extraEnv.A": "holds a Hugging Face token in clear text"},
            id="token",
        ),
    ],
)
def test_problems_of_a_server_are_at_its_own_properties(
    provider: Provider, inputs: dict[str, Any], expected: dict[str, str | None]
) -> None:
    found = reasons(provider, SERVER_TYPE, inputs)
    assert list(found) == sorted(expected)
    for path, what in expected.items():
        assert what is None or found[path] == what


def test_nothing_is_registered_where_something_is_refused(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "claim", lambda self, urn, goal: pytest.fail(f"{urn} is registered"))
    reasons(provider, STACK_TYPE, server(maxModelLen=200_000))


def test_a_type_that_the_package_does_not_have(provider: Provider) -> None:
    with pytest.raises(grpc.RpcError, match="there is no component gke-llm-inference:index:GkeCluster"):
        provider.construct("gke-llm-inference:index:GkeCluster", {})
