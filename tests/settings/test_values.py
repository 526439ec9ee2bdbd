"""A value of the wrong choice, type, size or form is refused where it stands, and never converted."""

from __future__ import annotations

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.settings import nearest, parse_settings
from tests.settings.support import Path, autopilot_stack, changed, dotted, full_stack, only_problem, readable


@pytest.mark.parametrize(
    ("path", "value", "fix"),
    [
        (("cluster", "releaseChannel"), "stable", "did you mean STABLE?"),
        (("cluster", "maintenance", "days", 1), "Sunday", "use one of: FR, MO, SA, SU, TH, TU, WE"),
        (("nodePools", "l4", "driverVersion"), "newest", "use one of: default, latest"),
        (("nodePools", "l4", "diskType"), "pd-standard", "use one of: hyperdisk-balanced, pd-balanced, pd-ssd"),
        (("nodePools", "l4", "sharing", "strategy"), "TIME_SHARING", "did you mean timeSharing?"),
        (("nodePools", "l4", "taints", 0, "effect"), "NoSchedule", "did you mean NO_SCHEDULE?"),
        (("nodePools", "l4", "secondaryBootDisks", 0, "mode"), "cache", "use one of: containerImageCache, data"),
        (("servers", "gemma", "architecture", "dtype"), "bf16", "did you mean bfloat16?"),
    ],
    ids=readable,
)
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(path: Path, value: str, fix: str) -> None:
    problem = only_problem(changed(full_stack(), path, value))
    assert (problem.path, problem.what) == (dotted(path), "is not a known choice")
    if fix.startswith("did you mean"):
        assert problem.fix == fix
    else:
        assert problem.fix in (fix, f"did you mean {nearest(value, fix.removeprefix('use one of: ').split(', '))}?")


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("cluster",), "autopilot", "is not a mapping"),
        (("cluster",), None, "is not a mapping"),
        (("cluster", "deletionProtection"), "false", "is not true or false"),
        (("cluster", "deletionProtection"), 0, "is not true or false"),
        (("cluster", "zones"), "us-central1-a", "is not a list"),
        (("cluster", "authorizedNetworks"), {"cidr": "192.0.2.0/24"}, "is not a list"),
        (("cluster", "labels"), ["team"], "is not a mapping"),
        (("cluster", "labels", "team"), 7, "is not text"),
        (("nodePools",), [], "is not a mapping"),
        (("nodePools", "l4"), None, "is not a mapping"),
        (("nodePools", "l4", "zones", 1), 5, "is not text"),
        (("servers",), None, "is not a mapping"),
        (("servers",), ["gemma"], "is not a mapping"),
        (("servers", "gemma"), "vllm", "is not a mapping"),
        (("servers", "gemma", "replicas"), True, "is not a whole number"),
        (("servers", "gemma", "replicas"), "2", "is not a whole number"),
        (("servers", "gemma", "replicas"), 1.5, "is not a whole number"),
        (("servers", "gemma", "replicas"), 2.0, "is not a whole number"),
        (("servers", "gemma", "replicas"), None, "is not a whole number"),
        (("servers", "gemma", "maxModelLen"), "4k", "is not a whole number"),
        (("servers", "gemma", "gpuMemoryUtilization"), "0.9", "is not a number"),
        (("servers", "gemma", "gpuMemoryUtilization"), True, "is not a number"),
        (("servers", "gemma", "resources"), 4, "is not a mapping"),
        (("servers", "gemma", "resources", "cpu"), "4000m", "is not a number"),
        (("servers", "gemma", "resources", "memoryGib"), "16Gi", "is not a whole number"),
        (("servers", "gemma", "architecture", "layers"), "28", "is not a whole number"),
        (("servers", "gemma", "architecture", "gated"), 1, "is not true or false"),
    ],
    ids=readable,
)
def test_a_value_of_the_wrong_type_is_refused_and_never_converted(path: Path, value: object, what: str) -> None:
    problem = only_problem(changed(full_stack(), path, value))
    assert problem.path == dotted(path)
    assert problem.what.startswith(what)
    assert problem.fix.startswith(what.replace("is not", "write", 1))


@pytest.mark.parametrize("value", [0.26, 1, 26.0])
def test_a_version_without_quotes_is_refused_with_the_advice_to_quote_it(value: float) -> None:
    problem = only_problem(autopilot_stack(version=value))
    assert (problem.path, problem.what) == ("servers.gemma.version", "is not text")
    assert problem.fix == "write text (put it in quotes)"


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("cluster", "maintenance", "durationHours"), 3, "greater than or equal to 4"),
        (("cluster", "maintenance", "durationHours"), 25, "less than or equal to 24"),
        (("cluster", "maintenance", "days"), [], "at least 1 item"),
        (("cluster", "systemPool", "minNodes"), 0, "greater than or equal to 1"),
        (("cluster", "systemPool", "diskSizeGb"), 19, "greater than or equal to 20"),
        (("nodePools", "l4", "accelerator", "count"), 0, "greater than or equal to 1"),
        (("nodePools", "l4", "minNodes"), -1, "greater than or equal to 0"),
        (("nodePools", "l4", "maxNodes"), 0, "greater than or equal to 1"),
        (("nodePools", "l4", "diskSizeGb"), 49, "greater than or equal to 50"),
        (("nodePools", "l4", "localSsds"), -1, "greater than or equal to 0"),
        (("nodePools", "l4", "sharing", "maxClients"), 1, "greater than or equal to 2"),
        (("nodePools", "l4", "sharing", "maxClients"), 49, "less than or equal to 48"),
        (("servers", "gemma", "replicas"), -1, "greater than or equal to 0"),
        (("servers", "gemma", "maxModelLen"), 0, "greater than or equal to 1"),
        (("servers", "gemma", "gpuMemoryUtilization"), 0, "greater than 0"),
        (("servers", "gemma", "gpuMemoryUtilization"), 1.01, "less than or equal to 1"),
        (("servers", "gemma", "resources", "cpu"), 0, "greater than or equal to 0.1"),
        (("servers", "gemma", "resources", "cpu"), 0.09, "greater than or equal to 0.1"),
        (("servers", "gemma", "resources", "cpu"), 1000.5, "less than or equal to 1000"),
        (("servers", "gemma", "resources", "cpu"), float("nan"), "than or equal to"),
        (("servers", "gemma", "servedModelName"), "", "at least 1 character"),
        (("servers", "gemma", "architecture", "layers"), 0, "greater than 0"),
        (("servers", "mistral", "maxInputTokens"), 0, "greater than or equal to 1"),
        (("servers", "mistral", "cudaMemoryFraction"), 1.5, "less than or equal to 1"),
    ],
    ids=readable,
)
def test_a_number_beyond_its_bounds_is_refused_with_the_bound(path: Path, value: object, what: str) -> None:
    problem = only_problem(changed(full_stack(), path, value))
    assert problem.path == dotted(path)
    assert what in problem.what


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("cluster", "maintenance", "durationHours"), 6),
        (("cluster", "maintenance", "durationHours"), 24),
        (("nodePools", "l4", "accelerator", "count"), 1),
        (("nodePools", "l4", "diskSizeGb"), 50),
        (("nodePools", "l4", "sharing", "maxClients"), 48),
        (("servers", "gemma", "replicas"), 0),
        (("servers", "gemma", "maxModelLen"), 1),
        (("servers", "gemma", "gpuMemoryUtilization"), 1),
        (("servers", "gemma", "resources", "cpu"), 0.5),
    ],
    ids=readable,
)
def test_a_number_at_its_bound_is_taken(path: Path, value: float) -> None:
    parse_settings(changed(full_stack(), path, value))


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("cluster", "name"), "x" * 41, "does not have the right form"),
        (("cluster", "name"), "LLM", "does not have the right form"),
        (("cluster", "location"), "us-central", "is not a region or zone"),
        (("cluster", "zones", 0), "us-central1", "is not a zone"),
        (("cluster", "systemPool", "machineType"), "e2 standard 4", "does not have the right form"),
        (("cluster", "maintenance", "startTime"), "24:00", "does not have the right form"),
        (("cluster", "maintenance", "startTime"), "2:00", "does not have the right form"),
        (("cluster", "labels", "team"), "ML Team", "is not a label value"),
        (("nodePools", "l4", "zones", 1), "us-central1-1", "is not a zone"),
        (("nodePools", "l4", "secondaryBootDisks", 0, "image"), "images/vllm", "does not have the right form"),
        (("huggingFace", "secretName"), "hf_secret", "is not a DNS label"),
        (("huggingFace", "secretKey"), "hf/token", "does not have the right form"),
        (("huggingFace", "secret"), "projects/p/secrets/s/versions/1", "does not have the right form"),
        (("huggingFace", "projectNumber"), "my-project", "does not have the right form"),
        (("huggingFace", "version"), "0", "does not have the right form"),
        (("namespace",), "LLM", "is not a DNS label"),
        (("namespace",), "x" * 64, "is not a DNS label"),
        (("namespace",), "-x", "is not a DNS label"),
        (("servers", "gemma", "version"), "v0.26.0", "does not have the right form"),
        (("servers", "gemma", "version"), "latest", "does not have the right form"),
        (("servers", "gemma", "model"), "gemma-7b-it", "does not have the right form"),
        (("servers", "gemma", "model"), "https://huggingface.co/google/gemma-7b-it", "does not have the right form"),
        (("servers", "gemma", "model"), "google/gemma-7b-it --trust-remote-code", "does not have the right form"),
        (("servers", "gemma", "revision"), "main --quantize", "does not have the right form"),
        (("servers", "gemma", "labels", "team"), "", "is not a label value"),
    ],
    ids=readable,
)
def test_a_text_of_the_wrong_form_is_refused(path: Path, value: str, what: str) -> None:
    problem = only_problem(changed(full_stack(), path, value))
    assert (problem.path, problem.what) == (dotted(path), what)
    assert problem.why
    assert problem.fix


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(("servers", "gemma", "version"), "٠.٢٦.٠", id="version in Arabic digits"),
        pytest.param(("servers", "gemma", "image"), "registry/vllm:é", id="image tag with an accent"),
        pytest.param(("servers", "gemma", "model"), "google/gemmé", id="model with an accent"),
        pytest.param(("servers", "gemma", "revision"), "né", id="revision with an accent"),
        pytest.param(("cluster", "maintenance", "startTime"), "0٢:00", id="time in Arabic digits"),
    ],
)
def test_digits_and_letters_of_other_scripts_are_refused_where_a_registry_would_refuse_them(
    path: Path, value: str
) -> None:
    assert only_problem(changed(full_stack(), path, value)).path == dotted(path)


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize(
    "path", [("servers",), ("nodePools",), ("cluster",), ("servers", "gemma", "resources")], ids=readable
)
def test_a_key_without_a_value_is_told_so_with_what_belongs_there(path: Path, value: object) -> None:
    problem = only_problem(changed(full_stack(), path, value))
    assert problem.path == dotted(path)
    assert problem.why.startswith("the key has no value")
    assert problem.fix.startswith("write a mapping")
    assert ": " in problem.fix


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("google/gemma-7b-itt", "google/gemma-7b-it"),
        ("google/gema-7b-it", "google/gemma-7b-it"),
        ("google/gemma-4-12b-it", None),
        ("Qwen/Qwen9-8B", None),
        ("Qwen/Qwen2.5-9B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("meta-llama/Llama-9.2-3B-Instruct", None),
        ("mistralai/Mistral-7B-Instruct-v0.2", "mistralai/Mistral-7B-Instruct-v0.3"),
    ],
)
def test_a_model_is_never_taken_for_one_of_another_family_or_generation(name: str, meant: str | None) -> None:
    catalog = load_catalog()
    assert nearest(name, [*catalog.models, *catalog.checkpoints]) == meant


@pytest.mark.parametrize("name", ["n2-standard-5", "e2-standard-5", "n4-standard-6", "c4-standard-5"])
def test_a_machine_is_taken_for_one_of_its_series(name: str) -> None:
    kinds = load_catalog().system_machine_types
    meant = nearest(name, [f"{kind}-{vcpus}" for kind, counts in kinds.items() for vcpus in counts])
    assert meant is not None
    assert meant.partition("-")[0] == name.partition("-")[0]
