"""What is wrong with a configuration is said all at once: where, what, why, and how to fix it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from gke_llm_inference.settings import Finding, Refusal, nearest, parse_settings, suggestion
from gke_llm_inference.settings.access import ConfigApiKeys
from gke_llm_inference.settings.parse import parse_model
from tests.settings.support import (
    Path,
    autopilot_stack,
    changed,
    dotted,
    full_stack,
    mappings,
    only_problem,
    readable,
    refusal_of,
    variants,
    without,
)


@pytest.mark.parametrize("raw", variants().values(), ids=variants())
def test_a_valid_configuration_is_not_refused(raw: dict[str, Any]) -> None:
    assert parse_settings(raw).servers["gemma"].model == "google/gemma-7b-it"


def test_all_problems_of_a_configuration_are_reported_together() -> None:
    raw = autopilot_stack(replicas=-1, version=0.26, maxModelLenn=5)
    raw["cluster"] = {"mode": "autopilot", "location": "us-central1-a", "releaseChannel": "FAST"}
    raw["huggingFace"] = {"tokenSource": "vault"}
    raw["nodePools"] = {"l4": {"minNodes": 3, "maxNodes": 2}}
    raw["server"] = {}
    refusal = refusal_of(raw)
    assert [problem.path for problem in refusal.problems] == [
        "cluster.location",
        "cluster.releaseChannel",
        "huggingFace.tokenSource",
        "nodePools.l4",
        "server",
        "servers.gemma.maxModelLenn",
        "servers.gemma.replicas",
        "servers.gemma.version",
    ]
    assert str(refusal).startswith("the configuration has 8 problems:\ncluster.location: is not a region\n")


def test_a_refusal_prints_each_problem_with_its_reason_and_fix() -> None:
    refusal = Refusal(
        [
            Finding(path="b", what="is wrong", why="it breaks", fix="mend it"),
            Finding(path="a", what="is missing", why="", fix="add it"),
        ]
    )
    assert str(refusal) == (
        "the configuration has 2 problems:\na: is missing\n  fix: add it\nb: is wrong\n  why: it breaks\n  fix: mend it"
    )


def test_the_same_problem_found_twice_is_told_once() -> None:
    refusal = Refusal(
        [Finding(path="a", what="is wrong", why="", fix=""), Finding(path="a", what="is wrong", why="", fix="")]
    )
    assert str(refusal) == "the configuration has 1 problem:\na: is wrong"


def test_problems_do_not_depend_on_the_order_of_keys() -> None:
    raw = autopilot_stack(replicas=-1, version=0.26)
    raw["nodePools"] = {"b": {"maxNodes": 0}, "a": {"maxNodes": 0}}
    backwards = dict(reversed(raw.items())) | {"nodePools": dict(reversed(raw["nodePools"].items()))}
    assert refusal_of(raw).problems == refusal_of(backwards).problems


@pytest.mark.parametrize(
    ("path", "misspelled", "fix"),
    [
        ((), "sevrers", "did you mean servers?"),
        ((), "nodepools", "did you mean nodePools?"),
        (
            (),
            "xyz",
            "use one of: autoscaling, bootDiskAllowlist, cluster, createNamespace, gateway, gpuQuota, huggingFace,",
        ),
        (("cluster",), "locaton", "did you mean location?"),
        (("cluster",), "nodeConfig", "use one of: authorizedNetworks,"),
        (("cluster", "network"), "podRange", "did you mean podsRange?"),
        (("cluster", "maintenance"), "start_time", "did you mean startTime?"),
        (("cluster", "systemPool"), "machinetype", "did you mean machineType?"),
        (("cluster", "authorizedNetworks", 0), "cdir", "did you mean cidr?"),
        (("huggingFace",), "secretname", "did you mean secretName?"),
        (("nodePools", "l4"), "max_nodes", "did you mean maxNodes?"),
        (("nodePools", "l4"), "nodeCount", "use one of: accelerator,"),
        (("nodePools", "l4", "provisioning"), "preemptible", "use one of: model, name, project"),
        (("nodePools", "l4", "sharing"), "clients", "did you mean maxClients?"),
        (("nodePools", "l4", "taints", 0), "Value", "did you mean value?"),
        (("nodePools", "l4", "secondaryBootDisks", 0), "img", "did you mean image?"),
        (("servers", "gemma"), "maxModelLenght", "did you mean maxModelLen?"),
        (("servers", "gemma"), "maxInputTokens", "did you mean maxOutputTokens?"),
        (("servers", "mistral"), "maxNumSeqs", "use one of"),
        (("servers", "gemma", "accelerator"), "cuont", "did you mean count?"),
        (("servers", "gemma", "resources"), "memory", "did you mean memoryGib?"),
        (("servers", "gemma", "architecture"), "numLayers", "did you mean layers?"),
    ],
    ids=readable,
)
def test_an_unknown_key_is_refused_with_the_nearest_valid_one(path: Path, misspelled: str, fix: str) -> None:
    problem = only_problem(changed(full_stack(), (*path, misspelled), 1))
    assert problem.path == dotted((*path, misspelled))
    assert problem.what == "is not a known key"
    assert fix in problem.fix


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (raw, path)
        for raw in variants().values()
        for path in mappings(raw)
        if path and path[-1] not in ("labels", "nodePools", "servers")
    ],
    ids=[
        f"{name}: {dotted(path)}"
        for name, raw in variants().items()
        for path in mappings(raw)
        if path and path[-1] not in ("labels", "nodePools", "servers")
    ],
)
def test_no_mapping_of_a_configuration_takes_an_unknown_key(raw: dict[str, Any], path: Path) -> None:
    problem = only_problem(changed(raw, (*path, "unheardOf"), "x"))
    assert (problem.path, problem.what) == (dotted((*path, "unheardOf")), "is not a known key")


def test_a_key_in_snake_case_is_refused_even_where_its_camel_case_form_is_absent() -> None:
    problem = only_problem(autopilot_stack(max_model_len=4096))
    assert problem.fix == "did you mean maxModelLen?"


@pytest.mark.parametrize(
    ("path", "described"),
    [
        (("cluster",), "The GKE cluster"),
        (("servers",), "Inference servers by name"),
        (("cluster", "location"), "Region"),
        (("cluster", "network", "podsRange"), "secondary range for pods"),
        (("cluster", "authorizedNetworks", 0, "cidr"), "The range"),
        (("huggingFace", "secret"), "Secret's id"),
        (("huggingFace", "projectNumber"), "Number, not id"),
        (("nodePools", "l4", "provisioning", "name"), "Name of the reservation"),
        (("nodePools", "l4", "taints", 0, "value"), "Value"),
        (("nodePools", "l4", "secondaryBootDisks", 0, "image"), "Disk image"),
        (("nodePools", "l4", "sharing", "maxClients"), "Pods that may share"),
        (("servers", "gemma", "model"), "Hugging Face id, such as google/gemma-7b-it"),
        (("servers", "gemma", "architecture", "layers"), "num_hidden_layers"),
    ],
    ids=readable,
)
def test_a_missing_key_is_named_with_what_it_is_for(path: Path, described: str) -> None:
    problem = only_problem(without(full_stack(), path))
    assert (problem.path, problem.what) == (dotted(path), "is missing")
    assert problem.fix.startswith("add it: ")
    assert described in problem.fix


@pytest.mark.parametrize(
    ("path", "value", "what", "fix"),
    [
        (("cluster", "mode"), "autopliot", "is not a known choice", "did you mean autopilot?"),
        (("cluster", "mode"), "eks", "is not a known choice", "use one of: autopilot, existing, standard"),
        (("cluster", "mode"), None, "is not a known choice", "use one of: autopilot, existing, standard"),
        (("cluster", "mode"), 1, "is not a known choice", "use one of: autopilot, existing, standard"),
        (("cluster", "network", "mode"), "shared", "is not a known choice", "use one of: create, existing"),
        (("huggingFace", "tokenSource"), "secretmanager", "is not a known choice", "did you mean secretManager?"),
        (
            ("huggingFace", "tokenSource"),
            "vault",
            "is not a known choice",
            "use one of: config, existingSecret, none, secretManager",
        ),
        (("nodePools", "l4", "provisioning", "model"), "Spot", "is not a known choice", "did you mean spot?"),
        (("servers", "gemma", "server"), "vLLM", "is not a known choice", "did you mean vllm?"),
        (("servers", "gemma", "server"), "sglang", "is not a known choice", "use one of: tgi, vllm"),
    ],
    ids=readable,
)
def test_a_choice_that_decides_the_other_keys_is_refused_with_the_nearest_one(
    path: Path, value: object, what: str, fix: str
) -> None:
    problem = only_problem(changed(full_stack(), path, value))
    assert (problem.path, problem.what, problem.fix) == (dotted(path), what, fix)
    assert problem.why == "it decides which other keys there are"


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        (("cluster", "mode"), "use one of: autopilot, existing, standard"),
        (("cluster", "network", "mode"), "use one of: create, existing"),
        (("huggingFace", "tokenSource"), "use one of: config, existingSecret, none, secretManager"),
        (("nodePools", "l4", "provisioning", "model"), "use one of: flexStart, onDemand, reservation, spot"),
        (("servers", "gemma", "server"), "use one of: tgi, vllm"),
    ],
    ids=readable,
)
def test_a_missing_choice_that_decides_the_other_keys_is_asked_for(path: Path, fix: str) -> None:
    problem = only_problem(without(full_stack(), path))
    assert (problem.path, problem.what, problem.fix) == (dotted(path), "is missing", fix)


@pytest.mark.parametrize("key", ["Team", "1team", "team.example", "app.kubernetes.io/name", "", "x" * 64])
@pytest.mark.parametrize("section", [("cluster",), ("nodePools", "l4"), ("servers", "gemma")], ids=dotted)
def test_a_label_key_that_google_or_kubernetes_rejects_is_refused(section: Path, key: str) -> None:
    problem = only_problem(changed(full_stack(), (*section, "labels"), {key: "x"}))
    assert problem.path == f"{dotted((*section, 'labels'))}.{key}"
    assert problem.what == "does not have the right form"


def test_an_entry_with_an_empty_name_is_refused() -> None:
    raw = autopilot_stack()
    raw["servers"][""] = raw["servers"].pop("gemma")
    assert "at least 1 character" in only_problem(raw).what


@pytest.mark.parametrize("name", ["vllm", "tgi", "servers", "a.b", "Gemma 7B", "0", "名前", "x" * 253])
def test_problems_of_an_entry_are_found_under_its_own_name(name: str) -> None:
    raw = autopilot_stack(replicas=-1)
    raw["servers"][name] = raw["servers"].pop("gemma")
    assert only_problem(raw).path == f"servers.{name}.replicas"


def test_an_entry_may_have_a_name_that_the_parser_uses_itself() -> None:
    raw = autopilot_stack(replicas=-1)
    raw["servers"]["[key]"] = raw["servers"].pop("gemma")
    assert only_problem(raw).path == "servers.[key].replicas"


def test_the_names_of_entries_that_yaml_reads_as_numbers_are_text() -> None:
    raw = autopilot_stack()
    raw["servers"] = {7: raw["servers"]["gemma"]}
    assert list(parse_settings(raw).servers) == ["7"]


def test_the_name_of_an_entry_that_yaml_reads_as_a_date_is_text() -> None:
    raw = autopilot_stack()
    raw["servers"] = {datetime.date(2026, 8, 21): raw["servers"]["gemma"]}
    assert list(parse_settings(raw).servers) == ["2026-08-21"]


def test_an_empty_configuration_lacks_a_cluster_and_servers() -> None:
    refusal = refusal_of({})
    assert [(problem.path, problem.what) for problem in refusal.problems] == [
        ("cluster", "is missing"),
        ("servers", "is missing"),
    ]


def test_a_text_that_no_encoding_holds_is_refused() -> None:
    assert "invalid JSON" in only_problem(autopilot_stack(servedModelName="\ud800")).what


@pytest.mark.parametrize(
    ("name", "valid", "expected"),
    [
        ("Servers", ["servers", "cluster"], "servers"),
        ("SERVERS", ["servers", "cluster"], "servers"),
        ("sever", ["servers", "server"], "server"),
        ("nvidia-14", ["nvidia-l4", "nvidia-tesla-a100"], "nvidia-l4"),
        ("", ["servers"], None),
        ("zzz", ["servers", "cluster"], None),
        ("zzz", [], None),
    ],
)
def test_the_nearest_name_is_found_whatever_its_case(name: str, valid: list[str], expected: str | None) -> None:
    assert nearest(name, valid) == expected


def test_a_suggestion_lists_every_name_in_order_where_none_is_near() -> None:
    assert suggestion("zzz", ["b", "a"]) == "use one of: a, b"


@pytest.mark.parametrize(
    ("keys", "paths"), [(["codeKey"], ["keys[0]"]), ([], ["keys"]), (["a b", "c"], ["keys[0]", "keys[1]"])]
)
def test_a_list_of_wrong_items_is_not_told_to_be_too_short_as_well(keys: list[str], paths: list[str]) -> None:
    with pytest.raises(Refusal) as refused:
        parse_model(ConfigApiKeys, {"source": "config", "keys": keys})
    assert [problem.path for problem in refused.value.problems] == paths
