"""Settings and token as Pulumi's configuration holds them: JSON text by key, some of it secret."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi
import pytest
from pulumi.runtime import mocks
from pulumi.runtime.config import CONFIG, set_all_config
from pulumi.runtime.settings import SETTINGS

from gke_llm_inference.settings import Refusal, StackSettings
from gke_llm_inference.settings.pulumi_config import read_settings, read_token
from gke_llm_inference.settings.pulumi_keys import PROJECT, TOKEN_KEY
from tests.settings.support import TOKEN, Raw, autopilot_stack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

Result = TypeVar("Result")


class NoResources(mocks.Mocks):
    """A stack of these tests makes nothing."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        raise AssertionError(args.name)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)


def with_config(
    config: Raw, action: Callable[[], Awaitable[Result]], *, secret: Collection[str] = (), preview: bool = True
) -> Result:
    """What `action` gives in a stack with `config`; Pulumi's own state stays as it was."""

    async def run() -> Result:
        # A task has a context of its own, and Pulumi keeps its state in the context.
        mocks.set_mocks(NoResources(), project=PROJECT, stack="test", preview=preview)
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
        set_all_config(
            {key if ":" in key else f"{PROJECT}:{key}": text for key, text in texts.items()},
            [f"{PROJECT}:{key}" for key in secret],
        )
        return await action()

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


async def settings_of_stack() -> StackSettings:
    """The settings that the stack reads."""
    return read_settings()


def problems_of(config: Raw, *, secret: Collection[str] = ()) -> list[tuple[str, str, str]]:
    with pytest.raises(Refusal) as caught:
        with_config(config, settings_of_stack, secret=secret)
    assert TOKEN not in str(caught.value)
    return [(problem.path, problem.what, problem.fix) for problem in caught.value.problems]


def test_settings_are_read_from_the_keys_of_the_project_alone() -> None:
    config = {**autopilot_stack(replicas=2), "gcp:project": "p", "other:servers": "x", "namespace": "models"}
    settings = with_config(config, settings_of_stack)
    assert settings.servers["gemma"].replicas == 2
    assert settings.namespace == "models"


def test_an_encrypted_token_is_not_part_of_the_settings() -> None:
    config = {**autopilot_stack(), TOKEN_KEY: TOKEN}
    settings = with_config(config, settings_of_stack, secret=[TOKEN_KEY])
    assert TOKEN not in repr(settings)
    assert settings == with_config(autopilot_stack(), settings_of_stack)


def test_a_token_in_clear_text_is_refused_with_the_command_that_encrypts_it() -> None:
    config = {**autopilot_stack(), TOKEN_KEY: TOKEN}
    assert problems_of(config) == [
        (TOKEN_KEY, "is not encrypted", f"revoke it, then: pulumi config set --secret {TOKEN_KEY}")
    ]


@pytest.mark.parametrize("key", ["servers", "cluster", "namespace"])
def test_a_setting_that_is_encrypted_is_refused_and_not_called_missing(key: str) -> None:
    config = {**autopilot_stack(), "namespace": "models"}
    assert problems_of(config, secret=[key]) == [(key, "holds an encrypted value", "move the secret out of it")]


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("server", "did you mean servers?"),
        ("nodepools", "did you mean nodePools?"),
        ("huggingfaceToken", f"did you mean {TOKEN_KEY}?"),
        ("hugging_face", "did you mean huggingFace?"),
        (
            "zzz",
            "use one of: autoscaling, base, bootDiskAllowlist, cluster, createNamespace, gateway, gpuQuota, "
            "huggingFace, huggingFaceToken, imageDigests, imageRegistry, modelRevisions, modelStore, namespace, "
            "networkPolicy, nodePools, observability, servers",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(key: str, fix: str) -> None:
    assert problems_of({**autopilot_stack(), key: "x"}) == [(key, "is not a known key", fix)]


def test_a_token_as_a_key_is_masked() -> None:
    assert problems_of({**autopilot_stack(), TOKEN: "x"})[0][0] == "[secret]"
    assert problems_of({**autopilot_stack(), TOKEN: "x"}, secret=[TOKEN])[0][0] == "[secret]"


def test_problems_of_keys_and_of_values_are_reported_together() -> None:
    config = {**autopilot_stack(replicas=-1), TOKEN_KEY: TOKEN, "namespase": "x", "namespace": "X"}
    del config["cluster"]
    assert [path for path, _, _ in problems_of(config)] == [
        "cluster",
        TOKEN_KEY,
        "namespace",
        "namespase",
        "servers.gemma.replicas",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{not json", "is not a mapping of names to entries"),
        ("", "is not a mapping of names to entries"),
        ("null", "is not a mapping of names to entries"),
        ("[]", "is not a mapping of names to entries"),
        ('{"gemma": {"server": "vllm", "model": "google/gemma-7b-it"}', "is not a mapping of names to entries"),
    ],
)
def test_a_value_that_is_not_the_json_of_a_mapping_is_refused(text: str, what: str) -> None:
    ((path, found, _),) = problems_of({**autopilot_stack(), "servers": text})
    assert (path, found) == ("servers", what)


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_switch_is_read_from_its_text(text: str) -> None:
    settings = with_config({**autopilot_stack(), "createNamespace": text}, settings_of_stack)
    assert settings.create_namespace is (text == "true")


async def token() -> tuple[str | None, bool] | None:
    """Value and secrecy of the token that the stack reads; None if it reads none."""
    output = read_token(read_settings())
    return None if output is None else (await output.future(), await output.is_secret())


@pytest.mark.parametrize("preview", [True, False])
def test_the_token_is_a_secret_output(preview: bool) -> None:
    config = {**autopilot_stack(), TOKEN_KEY: TOKEN}
    assert with_config(config, token, secret=[TOKEN_KEY], preview=preview) == (TOKEN, True)


def test_a_preview_goes_on_without_the_token_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    assert with_config(autopilot_stack(), token, preview=True) == ("not set yet", True)
    (warning,) = warnings
    assert warning.startswith(f"{TOKEN_KEY}: is not set\n")
    assert f"pulumi config set --secret {TOKEN_KEY}" in warning


def test_a_deployment_without_the_token_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        with_config(autopilot_stack(), token, preview=False)
    (problem,) = caught.value.problems
    assert (problem.path, problem.what) == (TOKEN_KEY, "is not set")
    assert problem.fix == f"pulumi config set --secret {TOKEN_KEY}"


def test_a_deployment_with_an_empty_token_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        with_config({**autopilot_stack(), TOKEN_KEY: ""}, token, secret=[TOKEN_KEY], preview=False)
    assert [(problem.path, problem.what) for problem in caught.value.problems] == [(TOKEN_KEY, "is not set")]


@pytest.mark.parametrize(
    "source",
    [
        {"tokenSource": "none"},
        {"tokenSource": "existingSecret"},
        {"tokenSource": "secretManager", "secret": "s", "projectNumber": "123456"},
    ],
    ids=lambda source: source["tokenSource"],
)
def test_a_token_that_comes_from_elsewhere_is_not_read_from_the_config(source: Raw) -> None:
    config = {**autopilot_stack(), "huggingFace": source, TOKEN_KEY: TOKEN}
    assert with_config(config, token, secret=[TOKEN_KEY], preview=False) is None


def test_reading_a_config_leaves_the_state_of_pulumi_as_it_was() -> None:
    before = SETTINGS.project, SETTINGS.dry_run, dict(CONFIG.get())
    with_config(autopilot_stack(), settings_of_stack)
    assert (SETTINGS.project, SETTINGS.dry_run, CONFIG.get()) == before
