"""A stack's own values over those of its base file: what is merged how, what is refused, and which file is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given

from gke_llm_inference.settings import Finding, Refusal, StackSettings, parse_settings
from gke_llm_inference.settings.merge import merged
from gke_llm_inference.settings.pulumi_keys import PROJECT, TOKEN_KEY
from gke_llm_inference.settings.stack_config import StackConfiguration, configuration_of
from tests.settings.strategies import RAW_STACKS
from tests.settings.support import PROPERTY, TOKEN, Raw, autopilot_stack

if TYPE_CHECKING:
    from pathlib import Path

OWN = "Pulumi.test.yaml"
BASE = "shared/base.yaml"


def configuration(
    base: Any, own: Raw, directory: Path, *, name: Any = BASE, secret: tuple[str, ...] = ()
) -> StackConfiguration:
    """What a stack with `own` reads in a project whose base file holds `base`."""
    path = directory / BASE
    path.parent.mkdir(exist_ok=True)
    path.write_text(base if isinstance(base, str) else yaml.safe_dump(base), encoding="utf-8")
    values = {
        f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in {"base": name, **own}.items()
    }
    return configuration_of(values, {f"{PROJECT}:{key}" for key in secret}, PROJECT, directory, file=OWN)


def problems(base: Any, own: Raw, directory: Path, **more: Any) -> list[Finding]:
    with pytest.raises(Refusal) as caught:
        configuration(base, own, directory, **more)
    assert TOKEN not in str(caught.value)
    return list(caught.value.problems)


def only(base: Any, own: Raw, directory: Path, **more: Any) -> Finding:
    (problem,) = problems(base, own, directory, **more)
    return problem


def settings_of(base: Raw, own: Raw, directory: Path) -> StackSettings:
    return configuration(base, own, directory).settings


def test_a_stack_that_adds_nothing_is_its_base(tmp_path: Path) -> None:
    assert settings_of(autopilot_stack(), {}, tmp_path) == parse_settings(autopilot_stack())


def test_a_base_that_says_nothing_changes_nothing(tmp_path: Path) -> None:
    assert settings_of({}, autopilot_stack(), tmp_path) == parse_settings(autopilot_stack())


@given(base=RAW_STACKS, own=RAW_STACKS)
@PROPERTY
def test_a_whole_stack_over_itself_is_itself(base: Raw, own: Raw) -> None:
    assert merged(own, "b", own, "o").values == own
    assert merged({}, "b", own, "o").values == own == merged(own, "b", {}, "o").values
    result = merged(base, "b", own, "o")
    assert result.problems == ()
    assert result == merged(dict(reversed(base.items())), "b", dict(reversed(own.items())), "o")


def merge(base: Any, own: Any) -> Any:
    result = merged(base, "b", own, "o")
    assert result.problems == ()
    return result.values


def test_mappings_and_entries_of_the_same_name_merge_to_any_depth() -> None:
    base = {"servers": {"a": {"accelerator": {"type": "nvidia-l4", "count": 1}, "labels": {"x": "1"}}, "b": {"m": 1}}}
    own = {"servers": {"a": {"accelerator": {"count": 2}, "labels": {"y": "2"}}, "c": {"m": 3}}, "namespace": "n"}
    assert merge(base, own) == {
        "namespace": "n",
        "servers": {
            "a": {"accelerator": {"type": "nvidia-l4", "count": 2}, "labels": {"x": "1", "y": "2"}},
            "b": {"m": 1},
            "c": {"m": 3},
        },
    }


def test_lists_and_scalars_replace() -> None:
    base = {"servers": {"a": {"presets": ["cost", "fp8"], "replicas": 1, "extraArgs": [{"x": 1}]}}}
    own = {"servers": {"a": {"presets": ["latency"], "replicas": 2, "extraArgs": []}}}
    assert merge(base, own) == own


def test_null_removes_what_the_base_has() -> None:
    base = {"servers": {"a": {"maxModelLen": 1, "labels": {"x": "1"}}, "b": {}}, "nodePools": {"l4": {}}}
    own = {"servers": {"a": {"maxModelLen": None, "labels": {"x": None}}, "b": None}, "nodePools": None}
    assert merge(base, own) == {"servers": {"a": {"labels": {}}}}


def test_another_choice_replaces_the_whole_mapping() -> None:
    base = {
        "cluster": {"mode": "standard", "location": "us-central1", "network": {"mode": "create", "podsCidr": "x"}},
        "servers": {"a": {"server": "vllm", "model": "m", "provisioning": {"model": "flexStart", "maxRunSeconds": 9}}},
    }
    assert merge(base, {"cluster": {"mode": "autopilot"}})["cluster"] == {"mode": "autopilot"}
    assert merge(base, {"cluster": {"network": {"mode": "existing"}}})["cluster"] == {
        "mode": "standard",
        "location": "us-central1",
        "network": {"mode": "existing"},
    }
    spot = merge(base, {"servers": {"a": {"provisioning": {"model": "spot"}}}})
    assert spot["servers"]["a"] == {"server": "vllm", "model": "m", "provisioning": {"model": "spot"}}
    assert merge(base, {"servers": {"a": {"server": "tgi"}}})["servers"]["a"] == {"server": "tgi"}


def test_the_same_choice_or_none_merges() -> None:
    base = {"cluster": {"mode": "standard", "location": "us-central1"}}
    labels = {"labels": {"a": "b"}}
    assert merge(base, {"cluster": labels})["cluster"] == {**base["cluster"], **labels}
    assert merge(base, {"cluster": {"mode": "standard", **labels}})["cluster"] == {**base["cluster"], **labels}
    assert merge({"cluster": {"location": "us-central1"}}, {"cluster": {"mode": "autopilot"}})["cluster"] == {
        "mode": "autopilot",
        "location": "us-central1",
    }


@pytest.mark.parametrize(
    ("base", "own", "path", "file"),
    [
        ({}, {"namespace": "null"}, "namespace", OWN),
        ({}, {"namespace": ""}, "namespace", OWN),
        ({}, {"servers": {"gemma": {"replica": None}}}, "servers.gemma.replica", OWN),
        ({}, {"servers": {"new": None}}, "servers.new", OWN),
        ({}, {"huggingFace": {"tokenSource": "none", "secretName": None}}, "huggingFace.secretName", OWN),
        ({"namespace": None}, {}, "namespace", BASE),
    ],
)
def test_null_that_removes_nothing_is_refused(base: Raw, own: Raw, path: str, file: str, tmp_path: Path) -> None:
    found = only({**autopilot_stack(), **base}, own, tmp_path)
    assert (found.path, found.what, found.file) == (path, "is null, but there is nothing to remove", file)


def test_a_removed_section_may_be_empty_text_as_the_cli_hands_it_over(tmp_path: Path) -> None:
    base = {**autopilot_stack(), "namespace": "shared"}
    assert settings_of(base, {"namespace": ""}, tmp_path).namespace == "llm-inference"


def test_wrong_values_name_the_file_they_are_from(tmp_path: Path) -> None:
    base = autopilot_stack(maxModelLen=0, typo=1)
    own = {"servers": {"gemma": {"replicas": -1, "presets": [1], "labels": {"A": "x"}}, "other": {"server": "vllm"}}}
    assert [(found.path, found.file) for found in problems(base, own, tmp_path)] == [
        ("servers.gemma.labels.A", OWN),
        ("servers.gemma.maxModelLen", BASE),
        ("servers.gemma.presets[0]", OWN),
        ("servers.gemma.replicas", OWN),
        ("servers.gemma.typo", BASE),
        ("servers.other.model", OWN),
    ]


def test_what_both_files_made_names_both(tmp_path: Path) -> None:
    base, own = {"servers": {"gemma": {"server": "vllm"}}}, {"servers": {"gemma": {"replicas": 1}}}
    found = only({**autopilot_stack(), **base}, own, tmp_path)
    assert (found.path, found.what, found.file) == ("servers.gemma.model", "is missing", f"{OWN}, {BASE}")
    assert str(found).startswith(f"servers.gemma.model ({OWN}, {BASE}): is missing\n  why: ")


def test_problems_that_are_found_later_name_the_file_too(tmp_path: Path) -> None:
    origins = configuration(autopilot_stack(), {"servers": {"a.b": {**GEMMA, "replicas": 2}}}, tmp_path).origins
    paths = {
        "servers.gemma.model": BASE,
        "servers.gemma.maxModelLen": BASE,
        "servers.a.b.replicas": OWN,
        "servers": f"{OWN}, {BASE}",
        "gcp:project": OWN,
        TOKEN_KEY: OWN,
    }
    assert {path: origins.of(path) for path in paths} == paths


GEMMA = {"server": "vllm", "model": "google/gemma-7b-it", "allowUnfit": True}


def test_without_a_base_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        configuration_of({f"{PROJECT}:cluster": "{}"}, (), PROJECT, tmp_path, file=OWN)
    assert {found.file for found in caught.value.problems} == {""}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../base.yaml", "leads out of the project"),
        ("shared/../../base.yaml", "leads out of the project"),
        ("/etc/passwd", "leads out of the project"),
        ("shared\\base.yaml", "leads out of the project"),
        ("C:base.yaml", "leads out of the project"),
        (["shared/base.yaml"], "is not a path"),
        ("", "is not a path"),
        ("7", "is not a path"),
    ],
)
def test_only_a_path_inside_the_project_is_read(name: Any, what: str, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("{}")
    found = only({}, {}, tmp_path, name=name)
    assert (found.path, found.what) == ("base", what)


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text("{}")
    project = tmp_path / "project"
    project.mkdir()
    (project / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    assert only({}, {}, project, name="link.yaml").what == "is a link that leads out of the project"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("cluster: {", f"{BASE}:2:1: not valid YAML"),
        ("cluster: {}\ncluster: {}", "this key is given twice"),
        ("[1]", "must hold a mapping"),
    ],
)
def test_a_base_that_is_no_mapping_is_refused_without_its_directory(content: str, what: str, tmp_path: Path) -> None:
    found = only(content, {}, tmp_path)
    assert found.path == "base"
    assert what in found.what
    assert str(tmp_path) not in str(found)


def test_a_missing_base_is_refused(tmp_path: Path) -> None:
    found = only({}, autopilot_stack(), tmp_path, name="none.yaml")
    assert (found.path, found.what) == ("base", "none.yaml: there is no such file")


def test_a_base_takes_nothing_that_belongs_to_one_stack(tmp_path: Path) -> None:
    base = {
        **autopilot_stack(extraEnv={"KEY": {"secure": "v1:cipher"}}),
        "config": {},
        "base": "other.yaml",
        TOKEN_KEY: {"secure": "v1:cipher"},
        f"{PROJECT}:namespace": "n",
        "gcp:project": "p",
        "nameSpace": "n",
    }
    found = problems(base, {}, tmp_path)
    assert {one.file for one in found} == {BASE}
    assert [(one.path, one.what) for one in found] == [
        ("base", "is in a base file"),
        ("config", "is not a key of a base file"),
        ("gcp:project", "belongs to gcp, not to this project"),
        (f"{PROJECT}:namespace", "has a namespace"),
        (TOKEN_KEY, "is in a base file"),
        ("nameSpace", "is not a known key"),
        ("servers.gemma.extraEnv.KEY", "holds an encrypted value"),
    ]
    assert "cipher" not in str(Refusal(found))


def test_a_token_in_a_base_is_refused_and_never_shown(tmp_path: Path) -> None:
    found = only(autopilot_stack(extraEnv={"KEY": TOKEN}), {}, tmp_path)
    assert (found.path, found.what) == ("servers.gemma.extraEnv.KEY", "holds a Hugging Face token in clear text")
    assert found.file == BASE


def test_the_token_stays_a_secret_of_the_stack(tmp_path: Path) -> None:
    own = {TOKEN_KEY: TOKEN}
    found = configuration(autopilot_stack(), own, tmp_path, secret=(TOKEN_KEY,))
    assert TOKEN not in repr(found)
    assert only(autopilot_stack(), own, tmp_path).what == "is not encrypted"
