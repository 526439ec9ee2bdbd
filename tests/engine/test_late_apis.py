"""Custom resources on a control plane that gets their definitions late."""

import contextlib
import re
import time
from collections.abc import Iterator

import pytest

from local.engine.cluster import Object
from local.engine.errors import EngineError
from local.gke.objects import custom_resources
from tests.engine.support import Background, Bench, Events, wait_until
from tests.engine.test_lifecycle import standard

DEFINITION = "apiextensions.k8s.io/v1"
SYNC = "secretsyncs.secret-sync.gke.io"
STACK = standard().replace(
    "{tokenSource: config}", '{tokenSource: secretManager, secret: hf-token, projectNumber: "123456789012"}'
)


@pytest.fixture
def without_definition(bench: Bench) -> Iterator[Object]:
    """The definition of SecretSync, which the control plane does not have."""
    (definition,) = [one for one in custom_resources() if one["metadata"]["name"] == SYNC]
    bench.cluster.delete(definition)
    wait_until(lambda: bench.api.get(DEFINITION, "CustomResourceDefinition", None, SYNC) is None)
    yield definition
    with contextlib.suppress(Exception):
        bench.cluster.apply(definition)


def told(events: Events) -> list[str]:
    """What was said of the wait."""
    return [one.strip() for one in events.messages if one.startswith(("waiting for ", "SecretSync of "))]


def test_a_deployment_waits_for_the_definition_and_says_so(bench: Bench, without_definition: Object) -> None:
    events = Events()
    running = Background(lambda: bench.stack(STACK).up(events.take))
    wait_until(lambda: any("waiting for SecretSync" in message for message in events.messages))
    # What is served waits for nothing.
    wait_until(lambda: ("create", "hugging-face-provider-class") in events.steps)
    time.sleep(2)
    assert not running.ended
    bench.cluster.apply(without_definition)
    running.join()
    assert running.failure is None
    assert [re.sub(r"\d+ s\b", "N s", one) for one in told(events)] == [
        "waiting for SecretSync of secret-sync.gke.io/v1: it is not served yet (N s of at most N s)",
        "SecretSync of secret-sync.gke.io/v1 is served, after N s",
    ]
    assert bench.find("secret-sync.gke.io/v1", "SecretSync", "hf-secret") is not None
    # The one question of a second deployment changes nothing.
    assert bench.run(bench.stack(STACK).up).operations == {}


def test_the_limit_ends_a_deployment_and_the_next_one_continues(
    bench: Bench, without_definition: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.served_apis.ServedApis._limit", lambda *_: 3)
    events = Events()
    with pytest.raises(EngineError) as caught:
        bench.stack(STACK).up(events.take)
    assert "SecretSync of secret-sync.gke.io/v1: it is not served yet, after 3 s" in str(caught.value)
    assert "fix: run `pulumi up` again, which continues" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    bench.cluster.apply(without_definition)
    rest = bench.run(bench.stack(STACK).up)
    assert ("create", "hugging-face-sync") in rest.steps
    assert ("create", "hugging-face-provider-class") not in rest.steps
    assert bench.find("apps/v1", "Deployment", "gemma") is not None


def test_a_preview_asks_nothing_and_shows_the_resource(bench: Bench, without_definition: Object) -> None:
    bench.stack(standard()).up()
    events = Events()
    bench.stack(STACK).preview(events.take)
    assert told(events) == []
    # Reader, its access, SecretProviderClass and SecretSync.
    assert events.summary["create"] == 4
