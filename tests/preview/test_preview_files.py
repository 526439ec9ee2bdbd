"""Reading configuration, writing results, masking, rendering: without running a program."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import example, given
from hypothesis import strategies as st

from gke_llm_inference.errors import ConfigError, UsageError
from gke_llm_inference.preview.errors import OutputError
from gke_llm_inference.preview.manifests import Manifest, manifests_of, to_yaml
from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.preview.tree import short_type
from gke_llm_inference.preview.write import to_json, write_preview
from gke_llm_inference.pulumi_project.project import find_project_directory, load_project, load_stack
from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from gke_llm_inference.pulumi_protocol.urn import make_urn
from gke_llm_inference.pulumi_protocol.wire import SECRET_SIGNATURE, SIGNATURE_KEY, decode
from gke_llm_inference.terminal import printable

if TYPE_CHECKING:
    from pathlib import Path

    from gke_llm_inference.pulumi_project.project import StackConfig
    from tests.preview.conftest import Workspace


def load(workspace: Workspace, text: str) -> StackConfig:
    workspace.stack(text)
    return load_stack(load_project(workspace.directory), "dev", None)


def test_values_become_what_the_cli_makes_of_them(workspace: Workspace) -> None:
    config = load(
        workspace,
        """
        config:
          gcp:project: my-project
          text: "0.10.0"
          flag: true
          whole: 3
          fraction: 0.5
          round: 1.0
          yes_is_text: yes
          date: 2024-01-02
          list: [1, {b: 2, a: é}]
          demo:config:old: x
          token: {secure: v1:abc}
          nested: {a: [{secure: v1:abc}], b: 1}
        """,
    )
    assert config.values == {
        "demo:date": "2024-01-02",
        "demo:flag": "true",
        "demo:fraction": "0.5",
        "demo:list": '[1,{"a":"é","b":2}]',
        "demo:nested": '{"a":["[secret]"],"b":1}',
        "demo:old": "x",
        "demo:round": "1",
        "demo:text": "0.10.0",
        "demo:token": "[secret]",
        "demo:whole": "3",
        "demo:yes_is_text": "yes",
        "gcp:project": "my-project",
    }
    assert config.secret_keys == ("demo:nested", "demo:token")


def test_project_defaults(workspace: Workspace) -> None:
    (workspace.directory / "Pulumi.yaml").write_text(
        "name: demo\nruntime: {name: python}\nconfig:\n"
        "  region: us-central1\n  size: {type: integer, default: 3}\n  gcp:project: {value: shared}\n"
        "  listed: {default: [1, 2]}\n  given: {type: boolean, default: false}\n"
    )
    config = load(workspace, "config: {given: true, demo:region: europe-west4}")
    assert config.values == {
        "demo:given": "true",
        "demo:listed": "[1,2]",
        "demo:region": "europe-west4",
        "demo:size": "3",
        "gcp:project": "shared",
    }


@pytest.mark.parametrize(
    ("project", "stack", "expected"),
    [
        ("size: {type: integer}", "config: {}", "lacks required configuration: 'size'"),
        ("size: {type: integer}", "config: {size: many}", "must be of type 'integer'"),
        ("key: {type: string, secret: true}", "config: {key: plain}", "must be encrypted"),
        ("", "config: {a: 1, demo:a: 2}", "set twice"),
        ("", "config: {a: {b: 1, b: 2}}", "dev.yaml:1:20: not valid YAML: this key is given twice"),
        ("", "config: [unclosed-s3cret", "not valid YAML"),
        ("", "config:\n  a: *s3cret_alias\n", "dev.yaml:2:6: not valid YAML"),
        ("", "config:\n\tx: s3cret\n", "dev.yaml:2:1: not valid YAML"),
        ("", "config: {a: !!python/object:s3cret 1}", "not valid YAML"),
        ("", "- a list", "must hold a mapping"),
        ("", "config: text", "'config' must be a mapping"),
        ("", "confg: {}", "not a key of a stack's file: confg"),
        ("", "config: {'a:b:c:d': 1}", "is not a valid config key"),
        ("", "config: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("", "config: {a: \x07s3cret}", "not valid YAML"),
    ],
)
def test_bad_files(workspace: Workspace, project: str, stack: str, expected: str) -> None:
    if project:
        text = f"name: demo\nruntime: python\nconfig:\n  {project}\n"
        (workspace.directory / "Pulumi.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load(workspace, stack)
    assert expected in str(error.value)
    assert "s3cret" not in str(error.value)


def test_unreadable_files(workspace: Workspace) -> None:
    project = load_project(workspace.directory)
    (workspace.directory / "bad.yaml").write_bytes(b"config: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_stack(project, None, workspace.directory / "bad.yaml")
    with pytest.raises(ConfigError, match="no such file"):
        load_stack(project, None, workspace.directory / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_stack(project, None, workspace.directory)


@pytest.mark.parametrize(
    ("name", "stack", "expected"),
    [("Pulumi.prod.yaml", None, "prod"), ("other.yaml", None, "other"), ("Pulumi.prod.yaml", "org/mine", "mine")],
)
def test_stack_names(workspace: Workspace, name: str, stack: str | None, expected: str) -> None:
    path = workspace.directory.parent / name
    path.write_text("config: {}")
    config = load_stack(load_project(workspace.directory), stack, path)
    assert config.stack == expected
    assert config.organization == ("org" if stack else "organization")


def test_neither_stack_nor_file(workspace: Workspace) -> None:
    with pytest.raises(UsageError):
        load_stack(load_project(workspace.directory), None, None)


def test_main_and_stack_directory(workspace: Workspace) -> None:
    (workspace.directory / "Pulumi.yaml").write_text("name: demo\nruntime: python\nmain: app\nstackConfigDir: stacks\n")
    (workspace.directory / "app").mkdir()
    with pytest.raises(ConfigError, match="the program of"):
        load_project(workspace.directory)
    (workspace.directory / "app" / "__main__.py").touch()
    (workspace.directory / "stacks").mkdir()
    (workspace.directory / "stacks" / "Pulumi.far.yaml").write_text("config: {a: 1}")
    project = load_project(workspace.directory)
    assert project.program == (workspace.directory / "app" / "__main__.py").resolve()
    assert load_stack(project, "far", None).values == {"demo:a": "1"}


@pytest.mark.parametrize(
    "text", ["name: demo\nruntime: go\n", "runtime: python\n", "name: demo\nruntime: python\nmain: []"]
)
def test_bad_projects(workspace: Workspace, text: str) -> None:
    (workspace.directory / "Pulumi.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load_project(workspace.directory)


def test_the_project_is_found_upward(workspace: Workspace, tmp_path: Path) -> None:
    below = workspace.directory / "a" / "b"
    below.mkdir(parents=True)
    assert find_project_directory(below, tmp_path) == workspace.directory
    assert find_project_directory(tmp_path, below) == below
    with pytest.raises(ConfigError, match=r"no Pulumi\.yaml here or in a directory above"):
        find_project_directory(tmp_path)


# Masking


@given(st.text(min_size=1), st.text(min_size=8).filter(lambda text: len(text.strip()) >= 8), st.text())
def test_no_secret_survives_masking(before: str, secret: str, after: str) -> None:
    masker = SecretMasker()
    masker.add({"a": [secret]})
    needle = secret.strip()
    if needle in ("[secret]", "[unknown]"):
        return
    for text in (before + secret + after, json.dumps(secret), repr(secret)):
        masked = masker.mask(text)
        assert not masker.found_in(masked) or needle in "[secret]"
    assert needle not in str(masker.mask_value({secret: [secret, 1, None]})) or needle in "{'[secret]': [, 1None"


_TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(['s3cr"t-', "\\", "\n", "ü", "123456"])).map("".join))
_DATA = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _TEXTS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(_TEXTS, inner)),
)


@given(_DATA, st.lists(_TEXTS))
@example({"a": ['s3cr"t-s3cr"t-']}, ['s3cr"t-s3cr"t-'])
@example({"a": "the line\twith a tab"}, ["one line only\nthe line\twith a tab"])
@example([1234567], ["123456"])
def test_data_is_masked_piece_by_piece_only_where_it_holds_a_secret(data: object, secrets: list[str]) -> None:
    masker = SecretMasker()
    masker.add(secrets)
    assert masker.mask_value(data) == masker._mask_value(data)


@given(st.dictionaries(st.text(), _DATA))
@example({})
@example({"a": [], "b": {}, "c": [[], {"d": ()}], "e": (1, -0.0, 1e300, True, None, "\u2028\x7f/ü")})
def test_a_document_is_written_as_json_writes_it(document: dict[str, object]) -> None:
    assert to_json(document) == json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), ({1: 2}, TypeError), (object(), TypeError)])
def test_what_json_cannot_say_is_not_written(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        to_json({"a": value})


@pytest.mark.parametrize("prefix", ["", "a", "ab", "user:"])
def test_base64_of_a_secret_is_masked_at_any_offset(prefix: str) -> None:
    masker = SecretMasker()
    masker.add("hf_abcdefghijklmnopqrstuvwxyz")
    encoded = base64.b64encode(f"{prefix}hf_abcdefghijklmnopqrstuvwxyz!".encode()).decode()
    assert masker.found_in(encoded)


def test_short_and_placeholder_secrets_do_not_mask_innocent_text() -> None:
    masker = SecretMasker()
    masker.add(["true", "8000", "[secret]", 12345678, None])
    assert masker.mask("true 8000 [secret] 12345678") == "true 8000 [secret] 12345678"


def test_lines_of_a_secret() -> None:
    masker = SecretMasker()
    masker.add("-----BEGIN KEY-----\nabcdefghijklmnop\n-----END KEY-----\n")
    assert "abcdefghijklmnop" not in masker.mask("  |\n    abcdefghijklmnop\n")


def test_printable() -> None:
    assert printable("a\x1b[31m\nb\t\u202ec") == r"a\x1b[31m\nb\t\u202ec"
    assert printable("a\nb\x07", lines=True) == "a\nb\\x07"
    assert printable("é × 日本") == "é × 日本"


# The wire


def struct(value: dict[str, Any]) -> struct_pb2.Struct:
    result = struct_pb2.Struct()
    result.update(value)
    return result


def test_output_values() -> None:
    signature = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
    decoded = decode(
        struct(
            {
                "known": {SIGNATURE_KEY: signature, "value": 1, "dependencies": ["urn:a"]},
                "unknown": {SIGNATURE_KEY: signature},
                "secret": [{SIGNATURE_KEY: signature, "value": "abcdefgh", "secret": True}],
                "a.b": {"c d": {SIGNATURE_KEY: SECRET_SIGNATURE, "value": {"x": 1}}},
                "strange": {SIGNATURE_KEY: "?"},
                "infinite": float("inf"),
            }
        ),
        SecretMasker(),
    )
    assert decoded.value == {
        "a.b": {"c d": "[secret]"},
        "infinite": "inf",
        "known": 1,
        "secret": ["[secret]"],
        "strange": "[unrecognised value]",
        "unknown": "[unknown]",
    }
    assert decoded.secret_paths == ['["a.b"]["c d"]', "secret[0]"]
    assert decoded.dependencies == {"known": ["urn:a"]}


def test_urn_of_a_child_of_the_stack() -> None:
    stack = make_urn("s", "p", None, "pulumi:pulumi:Stack", "p-s")
    child = make_urn("s", "p", stack, "a:b:C", "na::me")
    assert child == "urn:pulumi:s::p::a:b:C::na::me"
    assert make_urn("s", "p", child, "d:e:F", "x") == "urn:pulumi:s::p::a:b:C$d:e:F::x"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("gcp:container/nodePool:NodePool", "gcp container.NodePool"),
        ("kubernetes:core/v1:Secret", "kubernetes Secret v1"),
        ("kubernetes:apps/v1:Deployment", "kubernetes Deployment apps/v1"),
        ("pulumi:providers:kubernetes", "kubernetes provider"),
        ("gke-llm-inference:index:GkeCluster", "GkeCluster"),
        ("odd", "odd"),
    ],
)
def test_short_types(token: str, expected: str) -> None:
    assert short_type(token) == expected


# Manifests and writing


def kubernetes_object(name: str, **inputs: Any) -> Resource:
    return Resource(
        urn=f"urn:pulumi:s::p::kubernetes:core/v1:ConfigMap::{name}",
        type="kubernetes:core/v1:ConfigMap",
        name=name,
        parent=None,
        custom=True,
        inputs={"apiVersion": "v1", "kind": "ConfigMap", **inputs},
    )


def test_equal_objects_get_different_files() -> None:
    same = {"metadata": {"name": "../../Evil Name", "namespace": "[unknown]"}}
    recording = Recording("p", "s", (kubernetes_object("a", **same), kubernetes_object("b", **same)))
    names = [manifest.file_name for manifest in manifests_of(recording)]
    assert len(set(names)) == 2
    assert all(name.startswith("unknown-configmap-evil-name-") for name in names)
    assert all(manifest.has_unknowns for manifest in manifests_of(recording))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_yaml_reads_back(value: Any) -> None:
    import yaml

    assert yaml.safe_load(to_yaml({"value": value})) == {"value": value}


def test_lists_and_components_are_no_objects() -> None:
    recording = Recording(
        "p",
        "s",
        (
            kubernetes_object("list", kind="ConfigMapList"),
            Resource("u1", "kubernetes:helm.sh/v3:Release", "chart", None, True, inputs={"chart": "x"}),
            Resource("u2", "pulumi:providers:kubernetes", "provider", None, True, inputs={"kubeconfig": "x"}),
            Resource("u3", "kubernetes:yaml:ConfigFile", "file", None, False),
        ),
    )
    assert manifests_of(recording) == ()


MANIFESTS = (Manifest("a.yaml", "urn", "a: 1\n", has_unknowns=False),)


def test_writing_replaces_only_what_is_ours(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_preview(out, "{}", (Manifest("old.yaml", "u", "", has_unknowns=False),)) == (
        "resources.json",
        "manifests/old.yaml",
    )
    (out / "notes.txt").write_text("mine")
    write_preview(out, "{1}", MANIFESTS)
    assert {str(path.relative_to(out)) for path in out.rglob("*")} == {
        "manifests",
        "manifests/a.yaml",
        "notes.txt",
        "resources.json",
    }
    assert (out / "resources.json").read_text() == "{1}"


def test_a_foreign_manifests_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "mine.yaml").touch()
    with pytest.raises(OutputError, match="not written by a preview"):
        write_preview(tmp_path, "{}", MANIFESTS)
    assert (tmp_path / "manifests" / "mine.yaml").exists()


def test_a_failed_exchange_restores_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write_preview(out, "old", MANIFESTS)
    original = type(out).rename

    def rename(self: Path, target: Path) -> Path:
        if self.name == "resources.json" and self.parent.name == "new":
            raise OSError(28, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(type(out), "rename", rename)
    with pytest.raises(OutputError, match="No space left"):
        write_preview(out, "new", (Manifest("b.yaml", "u", "b: 1\n", has_unknowns=False),))
    assert (out / "resources.json").read_text() == "old"
    assert [path.name for path in (out / "manifests").iterdir()] == ["a.yaml"]
    assert sorted(path.name for path in out.iterdir()) == ["manifests", "resources.json"]


def test_a_failure_leaves_no_new_directory(tmp_path: Path) -> None:
    bad = (Manifest("x/y.yaml", "u", "", has_unknowns=False),)
    with pytest.raises(OutputError):
        write_preview(tmp_path / "a" / "b", "{}", bad)
    assert not (tmp_path / "a").exists()
