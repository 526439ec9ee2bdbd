"""What the engine was told, held against the offline preview: URN by URN, input by input, for every example."""

from pathlib import Path
from typing import Any

import pytest

from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE
from gke_llm_inference.pulumi_protocol.wire import SECRET_SIGNATURE, SIGNATURE_KEY
from gke_llm_inference.terminal import SECRET, UNKNOWN
from tests.cluster.support import plan_of_file
from tests.engine.support import Bench
from tests.support import ACCESS, GUIDE, REPOSITORY, STACKS, Recordings

TEAMS = REPOSITORY / "examples" / "platform-team"
EXAMPLES = [
    *(REPOSITORY / f"Pulumi.{stack}.yaml" for stack in STACKS),
    *sorted(GUIDE.glob("Pulumi.*.yaml")),
    *sorted(ACCESS.glob("Pulumi.*.yaml")),
]

ONLY_IN_THE_ENGINE = {
    "pulumi:providers:gcp": "default providers are the engine's own; no program registers them",
    "pulumi:providers:pulumi": "the engine's own provider of stack references",
}
ADDED_INPUTS = {
    ("gcp:compute/network:Network", "name"): "made up by the provider",
    ("gcp:compute/router:Router", "name"): "made up by the provider",
    ("gcp:compute/routerNat:RouterNat", "name"): "made up by the provider",
    ("gcp:compute/subnetwork:Subnetwork", "name"): "made up by the provider",
    ("gcp:container/nodePool:NodePool", "name"): "made up by the provider",
    ("pulumi:providers:kubernetes", "__internal"): "the engine's own note about the plugin",
    ("pulumi:providers:kubernetes", "version"): "the engine notes the plugin's version, which is no input of a program",
}
"""Inputs that the engine's state has and no registration, with the reason."""
RENAMED_INPUTS = {("kubernetes:core/v1:Secret", "stringData"): "data"}
"""Inputs that the provider writes as the API server does."""
ONLY_DEPLOYED = {
    "inputs.spec.template.metadata.annotations.llm-inference/token-version": "the Secret has it once it is applied",
    "inputs.spec.template.metadata.annotations.llm-inference/api-keys-version": "likewise",
}
"""Inputs that are empty in a preview, with the reason."""
OPTIONS = ("additionalSecretOutputs", "customTimeouts", "ignoreChanges", "protect", "retainOnDelete")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem.removeprefix("Pulumi."))
def test_the_engine_is_told_what_the_preview_shows(
    request: pytest.FixtureRequest, recordings: Recordings, path: Path
) -> None:
    autopilot = plan_of_file(path).cluster.profile == "autopilot"
    bench: Bench = request.getfixturevalue("autopilot_bench" if autopilot else "bench")
    recording = recordings.file(path)
    stack = bench.stack_of(path)
    stack.up()
    assert differences(recording, stack.state()["resources"]) == []


def test_a_team_on_the_cluster_of_another_team(bench: Bench, recordings: Recordings) -> None:
    platform = TEAMS / "Pulumi.platform.yaml"
    owner = bench.stack_of(platform)
    owner.up()
    assert differences(recordings.file(platform), owner.state()["resources"]) == []
    # The name of a stack in a backend without organizations.
    path = bench.directory / "Pulumi.chat.yaml"
    text = (TEAMS / "Pulumi.chat.yaml").read_text("utf-8")
    path.write_text(text.replace("my-org/", "organization/"), encoding="utf-8")
    team = bench.stack_of(path)
    team.up()
    assert differences(recordings.file(path), team.state()["resources"]) == []
    assert [one["metadata"]["name"] for one in bench.api.select("apps/v1", "Deployment", "chat", {})] == ["qwen"]
    (kubeconfig,) = [
        one["inputs"]["kubeconfig"] for one in team.state()["resources"] if "kubeconfig" in one.get("inputs", {})
    ]
    assert kubeconfig[SIGNATURE_KEY] == SECRET_SIGNATURE


def differences(recording: Recording, resources: list[dict[str, Any]]) -> list[str]:
    """Every difference that is not listed above."""
    shown = {resource.urn: resource for resource in recording.resources}
    told = {one["urn"]: one for one in resources if one["type"] not in ONLY_IN_THE_ENGINE}
    found = [f"only in the preview: {urn}" for urn in sorted(shown.keys() - told.keys())]
    found += [f"only in the engine: {urn}" for urn in sorted(told.keys() - shown.keys())]
    for urn in sorted(shown.keys() & told.keys()):
        found += [f"{urn}: {one}" for one in _compare(shown[urn], told[urn])]
    return found


def _compare(shown: Resource, told: dict[str, Any]) -> list[str]:
    found: list[str] = []

    def expect(what: str, preview: Any, engine: Any) -> None:
        if preview != engine:
            found.append(f"{what}: preview {preview!r}, engine {engine!r}")

    expect("type", shown.type, told["type"])
    expect("parent", shown.parent, told.get("parent"))
    expect("custom", shown.custom, told["custom"])
    expect("dependencies", sorted(shown.dependencies), sorted(told.get("dependencies", [])))
    provider = told.get("provider", "").rpartition("::")[0] or None
    if provider is None or not provider.rpartition("::")[2].startswith("default"):
        expect("provider", shown.provider, provider)
    elif shown.provider is not None:
        found.append(f"provider: preview {shown.provider}, engine its default")
    dependencies = {key: sorted(urns) for key, urns in told.get("propertyDependencies", {}).items() if urns}
    expect(
        "property dependencies",
        {key: sorted(urns) for key, urns in shown.property_dependencies.items()},
        dependencies,
    )
    options = shown.as_dict()
    for name in OPTIONS:
        preview, engine = options.get(name) or None, told.get(name) or None
        if name == "customTimeouts":
            # The engine keeps seconds.
            preview, engine = bool(preview), bool(engine)
        if isinstance(preview, list) and isinstance(engine, list):
            preview, engine = sorted(preview), sorted(engine)
        expect(name, preview, engine)
    if shown.type != STACK_TYPE and "external" not in shown.options:
        added = {key for kind, key in ADDED_INPUTS if kind == shown.type}
        inputs = {
            key: value for key, value in told.get("inputs", {}).items() if key in shown.inputs or key not in added
        }
        named = {RENAMED_INPUTS.get((shown.type, key), key): value for key, value in shown.inputs.items()}
        found += _values(named, inputs, "inputs")
    if shown.outputs is not None:
        found += _values(shown.outputs, told.get("outputs", {}), "outputs")
    return found


def _values(preview: Any, engine: Any, path: str) -> list[str]:
    if preview == UNKNOWN or (path in ONLY_DEPLOYED and not preview and engine):
        return []  # what only a deployment can know
    if isinstance(engine, dict) and engine.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
        # The engine marks a whole property; the preview shows which keys it has.
        leaves = list(preview.values()) if isinstance(preview, dict) else [preview]
        return [] if leaves and set(leaves) == {SECRET} else [f"{path}: secret in the engine only"]
    if isinstance(preview, dict) and isinstance(engine, dict):
        return [
            difference
            for key in sorted({*preview, *engine})
            for difference in (
                _values(preview[key], engine[key], f"{path}.{key}")
                if key in preview and key in engine
                else [f"{path}.{key}: only in the {'preview' if key in preview else 'engine'}"]
            )
        ]
    if isinstance(preview, list) and isinstance(engine, list) and len(preview) == len(engine):
        return [
            difference
            for index, pair in enumerate(zip(preview, engine, strict=True))
            for difference in _values(*pair, f"{path}[{index}]")
        ]
    return [] if preview == engine else [f"{path}: preview {preview!r}, engine {engine!r}"]
