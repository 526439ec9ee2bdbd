"""Rules that hold between values of one entry, and what settings are once they are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from pydantic import BaseModel, ValidationError

from gke_llm_inference.settings import (
    AutopilotCluster,
    CreatedNetwork,
    ExistingCluster,
    Maintenance,
    NoToken,
    StackSettings,
    SystemPool,
    VllmSettings,
    parse_settings,
)
from tests.settings.strategies import RAW_STACKS
from tests.settings.support import PROPERTY, Raw, autopilot_stack, full_stack, only_problem, variants

if TYPE_CHECKING:
    from collections.abc import Iterator


def in_network(**ranges: str) -> Raw:
    raw = autopilot_stack()
    raw["cluster"]["network"] = {"mode": "create", **ranges}
    return raw


@pytest.mark.parametrize(
    ("ranges", "what", "fix"),
    [
        (
            {"nodesCidr": "10.16.0.0/20"},
            "nodesCidr 10.16.0.0/20 overlaps podsCidr 10.16.0.0/14",
            "move podsCidr to a free range",
        ),
        (
            {"servicesCidr": "10.0.0.0/24"},
            "nodesCidr 10.0.0.0/20 overlaps servicesCidr 10.0.0.0/24",
            "move servicesCidr to a free range",
        ),
        (
            {"podsCidr": "10.16.0.0/12"},
            "podsCidr 10.16.0.0/12 overlaps servicesCidr 10.20.0.0/20",
            "move servicesCidr to a free range",
        ),
        (
            {"nodesCidr": "10.4.0.0/32", "podsCidr": "10.4.0.0/32"},
            "nodesCidr 10.4.0.0/32 overlaps podsCidr 10.4.0.0/32",
            "move podsCidr",
        ),
    ],
)
def test_ranges_that_overlap_are_refused(ranges: dict[str, str], what: str, fix: str) -> None:
    problem = only_problem(in_network(**ranges))
    assert (problem.path, problem.what) == ("cluster.network", what)
    assert fix in problem.fix


def test_ranges_that_touch_do_not_overlap() -> None:
    raw = in_network(nodesCidr="10.0.0.0/24", podsCidr="10.0.1.0/24", servicesCidr="10.0.2.0/24")
    cluster = parse_settings(raw).cluster
    assert isinstance(cluster, AutopilotCluster)
    assert isinstance(cluster.network, CreatedNetwork)
    assert cluster.network.services_cidr == "10.0.2.0/24"


@pytest.mark.parametrize(
    "text", ["10.0.0.1/20", "10.0.0.0/33", "10.0.0/20", "010.0.0.0/20", "fd00::/64", "10.0.0.0/٢٠", ""]
)
def test_a_range_that_google_would_reject_is_refused(text: str) -> None:
    problem = only_problem(in_network(nodesCidr=text))
    assert (problem.path, problem.what) == ("cluster.network.nodesCidr", "is not an IPv4 range")
    assert "an address and a prefix length" in problem.why
    assert "ends in zeros beyond the prefix" in problem.why
    assert problem.fix == "write it like 10.0.0.0/20"


@pytest.mark.parametrize(
    ("hours", "days", "allowed"),
    [
        (6, ["SA", "SU"], True),
        (12, ["SU"], True),
        (4, ["MO", "WE", "FR"], True),
        (11, ["SU"], False),
        (4, ["SA", "SU"], False),
        (5, ["SA", "SU"], False),
        (6, ["SU", "SU"], False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else str(value),
)
def test_maintenance_windows_add_up_to_48_hours_in_four_weeks(hours: int, days: list[str], *, allowed: bool) -> None:
    raw = autopilot_stack()
    raw["cluster"]["maintenance"] = {"durationHours": hours, "days": days}
    if allowed:
        cluster = parse_settings(raw).cluster
        assert isinstance(cluster, AutopilotCluster)
        assert cluster.maintenance.days == tuple(days)
        return
    problem = only_problem(raw)
    assert problem.path == "cluster.maintenance"
    assert problem.what == f"allows {hours * len(set(days)) * 4} hours of maintenance in four weeks"
    assert problem.fix == "add a day or lengthen durationHours"


@pytest.mark.parametrize(
    "image",
    [
        "vllm/vllm-openai:v0.26.0",
        "docker.io/vllm/vllm-openai:v0.26.0-cu129",
        "localhost:5000/vllm:1",
        "us-docker.pkg.dev/p/r/text-generation-inference-cu124.2-3.ubuntu2204.py311:2024.11",
        f"vllm/vllm-openai@sha256:{'a' * 64}",
        f"vllm/vllm-openai:latest@sha256:{'a' * 64}",
        "vllm:latest-1",
    ],
)
def test_an_image_with_a_version_or_digest_is_taken(image: str) -> None:
    assert parse_settings(autopilot_stack(image=image)).servers["gemma"].image == image


@pytest.mark.parametrize(
    ("image", "what"),
    [
        ("vllm/vllm-openai", "does not pin a version"),
        ("localhost:5000/vllm", "does not pin a version"),
        ("vllm/vllm-openai:latest", "does not pin a version"),
        ("localhost:5000/vllm:latest", "does not pin a version"),
        ("vllm/vllm-openai:", "is not an image reference"),
        ("vllm/vllm openai:v1", "is not an image reference"),
        ("https://docker.io/vllm:v1", "is not an image reference"),
        ("VLLM:v1", "is not an image reference"),
        ("vllm@sha256:abc", "is not an image reference"),
        ("vllm:v1\n", "is not an image reference"),
        ("", "is not an image reference"),
    ],
)
def test_an_image_that_may_change_or_cannot_be_pulled_is_refused(image: str, what: str) -> None:
    problem = only_problem(autopilot_stack(image=image))
    assert (problem.path, problem.what) == ("servers.gemma.image", what)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({}, "names no cluster"),
        ({"name": "a"}, "lacks location"),
        ({"location": "us-central1"}, "lacks name"),
        ({"name": "a", "location": "us-central1", "kubeconfigContext": "c"}, "names two clusters"),
        ({"name": "a", "kubeconfigContext": "c"}, "names two clusters"),
        ({"stackReference": "o/p/s", "kubeconfigContext": "c"}, "names two clusters"),
        ({"stackReference": "o/p/s", "name": "a"}, "names two clusters"),
        ({"stackReference": "o/p/s", "name": "a", "location": "us-central1"}, "names two clusters"),
    ],
    ids=lambda value: "+".join(value) or "nothing" if isinstance(value, dict) else None,
)
def test_an_existing_cluster_is_named_in_exactly_one_way(keys: dict[str, str], what: str) -> None:
    raw = autopilot_stack()
    raw["cluster"] = {"mode": "existing", **keys}
    problem = only_problem(raw)
    assert (problem.path, problem.what) == ("cluster", what)
    assert "name and location" in problem.fix


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "a", "location": "us-central1-a"},
        {"kubeconfigContext": "c"},
        {"stackReference": "o/p/s"},
        {"stackReference": "o/p/s", "location": "us-central1"},
    ],
)
def test_an_existing_cluster_is_standard_unless_told_otherwise(keys: dict[str, str]) -> None:
    raw = autopilot_stack()
    raw["cluster"] = {"mode": "existing", **keys}
    cluster = parse_settings(raw).cluster
    assert isinstance(cluster, ExistingCluster)
    assert cluster.profile == "standard"


@pytest.mark.parametrize("name", ["platform", "p/platform", "o/p/s/t", "o//s", "o/p/s ", "o/p/ä"])
def test_a_stack_reference_names_organization_project_and_stack(name: str) -> None:
    raw = autopilot_stack()
    raw["cluster"] = {"mode": "existing", "stackReference": name}
    problem = only_problem(raw)
    assert (problem.path, problem.what) == ("cluster.stackReference", "does not have the right form")


def test_a_stack_may_make_a_cluster_or_pools_without_servers() -> None:
    raw = autopilot_stack()
    assert parse_settings({**raw, "servers": {}}).servers == {}
    theirs = {"mode": "existing", "name": "theirs", "location": "us-central1"}
    assert parse_settings({"cluster": theirs, "nodePools": {"l4": {}}, "servers": {}}).servers == {}


def test_a_stack_that_makes_nothing_is_refused() -> None:
    problem = only_problem({"cluster": {"mode": "existing", "kubeconfigContext": "c"}, "servers": {}})
    assert (problem.path, problem.what, problem.fix) == (
        "configuration",
        "has no servers, no node pools and no cluster of its own",
        "add a server under servers",
    )


@pytest.mark.parametrize(("section", "limit"), [("nodePools", 1), ("systemPool", 6)])
def test_a_pool_with_more_nodes_at_least_than_at_most_is_refused(section: str, limit: int) -> None:
    raw = full_stack()
    if section == "nodePools":
        raw["nodePools"]["l4"] = {"minNodes": limit + 1}
    else:
        raw["cluster"]["systemPool"] = {"minNodes": limit + 1}
    problem = only_problem(raw)
    assert problem.path == ("nodePools.l4" if section == "nodePools" else "cluster.systemPool")
    assert problem.what == f"minNodes {limit + 1} exceeds maxNodes {limit}"


def test_what_is_not_configured_has_the_documented_defaults() -> None:
    settings = parse_settings(
        {
            "cluster": {"mode": "standard", "location": "us-central1"},
            "nodePools": {"l4": {}},
            "servers": {"qwen": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct"}},
        }
    )
    assert settings.hugging_face == NoToken(token_source="none")
    assert (settings.namespace, settings.create_namespace) == ("llm-inference", True)
    cluster, pool, server = settings.cluster, settings.node_pools["l4"], settings.servers["qwen"]
    assert cluster.mode == "standard"
    assert cluster.network == CreatedNetwork(
        mode="create", nodes_cidr="10.0.0.0/20", pods_cidr="10.16.0.0/14", services_cidr="10.20.0.0/20"
    )
    assert cluster.deletion_protection
    assert cluster.release_channel == "REGULAR"
    assert cluster.maintenance == Maintenance(start_time="02:00", duration_hours=6, days=("SA", "SU"))
    assert cluster.system_pool == SystemPool(machine_type="e2-standard-4", min_nodes=2, max_nodes=6, disk_size_gb=100)
    assert (pool.accelerator.type, pool.accelerator.count) == ("nvidia-l4", 1)
    assert (pool.min_nodes, pool.max_nodes, pool.disk_size_gb) == (0, 1, 200)
    assert (pool.provisioning.model, pool.machine_type, pool.zones) == ("onDemand", None, ())
    assert (server.replicas, server.accelerator.count, server.max_model_len) == (1, 1, None)


def test_the_secret_has_the_name_and_key_of_googles_guide() -> None:
    token = parse_settings(autopilot_stack()).hugging_face
    assert token.token_source == "config"
    assert (token.secret_name, token.secret_key) == ("hf-secret", "hf_api_token")


def models_in(value: Any) -> Iterator[BaseModel]:
    """`value` and every model below it."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from models_in(getattr(value, name))
    elif isinstance(value, dict):
        for entry in value.values():
            yield from models_in(entry)
    elif isinstance(value, tuple):
        for entry in value:
            yield from models_in(entry)


@pytest.mark.parametrize("raw", variants().values(), ids=variants())
def test_no_model_of_the_settings_can_be_changed(raw: Raw) -> None:
    for model in models_in(parse_settings(raw)):
        for name in type(model).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(model, name, getattr(model, name))


def test_settings_print_without_their_input_where_python_code_makes_them_wrong() -> None:
    with pytest.raises(ValidationError) as caught:
        VllmSettings(server="vllm", model="secret value")
    assert "secret value" not in str(caught.value)


@given(raw=RAW_STACKS)
@PROPERTY
def test_settings_written_as_json_and_read_again_are_equal(raw: Raw) -> None:
    settings = parse_settings(raw)
    for unset in (False, True):
        text = settings.model_dump_json(by_alias=True, exclude_unset=unset, exclude_none=True)
        again = parse_settings(json.loads(text))
        assert isinstance(again, StackSettings)
        assert again == settings


@given(raw=RAW_STACKS)
@PROPERTY
def test_what_was_configured_is_what_the_settings_hold(raw: Raw) -> None:
    assert json.loads(parse_settings(raw).model_dump_json(by_alias=True, exclude_unset=True)) == raw
