"""API keys through the real engine: from the config to Secret and pods, nowhere in clear, changed in two steps."""

import base64
import json
from dataclasses import replace

from tests.engine.support import API_KEYS, Bench, files_with
from tests.engine.test_lifecycle import LOCAL, up
from tests.support import PROJECT

OLD, NEW = API_KEYS.values()


def with_keys(keys: str) -> str:
    server = "model: google/gemma-7b-it, maxModelLen: 4096"
    assert server in LOCAL
    return LOCAL.replace(server, f"{server}, version: 0.33.0, apiKeys: {{source: config, keys: {keys}}}")


def secret_of(bench: Bench) -> dict[str, str]:
    found = bench.find("v1", "Secret", "gemma-api-keys")
    assert found is not None
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def content(one: str, *, file: list[str]) -> dict[str, str]:
    return {"api_key": one, "api-keys.yaml": json.dumps({"api-key": file})}


def container_of(bench: Bench) -> dict[str, object]:
    (container,) = bench.deployment()["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_keys_change_in_two_steps_and_are_in_clear_nowhere(bench: Bench) -> None:
    up(bench, with_keys("[apiKey]"))
    assert secret_of(bench) == content(OLD, file=[OLD])
    assert "--config" not in container_of(bench)["args"]  # type: ignore[operator]

    both = up(bench, with_keys("[apiKey2, apiKey]"))
    # Pods of the template before find what it names, with the key that they had.
    assert secret_of(bench) == content(OLD, file=[NEW, OLD])
    assert container_of(bench)["args"][-2] == "--config"  # type: ignore[index]
    assert ("update", "gemma-deployment") in both.steps, "pods that read both keys replace those that read one"

    up(bench, with_keys("[apiKey2]"))
    assert secret_of(bench) == content(NEW, file=[NEW])
    deployment = json.dumps(bench.deployment())
    for key in (OLD, NEW):
        assert files_with(bench.directory, key) == []
        assert files_with(bench.directory, base64.b64encode(key.encode()).decode()) == []
        assert key not in deployment
        assert not [one for one in both.messages if key in one]
    assert up(bench, with_keys("[apiKey2]")).steps == []


def test_another_value_of_a_key_restarts_the_pods(bench: Bench) -> None:
    up(bench, with_keys("[apiKey]"))
    stack = bench.stack(with_keys("[apiKey]"))
    changed = bench.run(replace(stack, secrets={**stack.secrets, f"{PROJECT}:apiKey": NEW}).up)
    assert changed.steps == [("update", "gemma-api-keys-secret"), ("update", "gemma-deployment")]
    assert secret_of(bench) == content(NEW, file=[NEW])
