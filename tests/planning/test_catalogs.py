"""A plan rests on the catalog that it is given, and on no other, for everything that it decides."""

from __future__ import annotations

from typing import Any

import pytest

from gke_llm_inference.catalog import Catalog, load_catalog
from gke_llm_inference.catalog.flags import ServerFlags
from gke_llm_inference.catalog.preset_facts import Technique
from gke_llm_inference.cli.plan_report import stack_document
from gke_llm_inference.planning import ServerPlan, plan_stack
from gke_llm_inference.settings import Finding, Refusal, parse_settings
from tests.planning.support import IDENTITY, QWEN, standard_stack
from tests.settings.support import autopilot_stack

SHIPPED = load_catalog()


def changed(facts: Any, path: str, value: Any) -> Any:
    """A copy of facts with another value at a path of attributes, keys and positions."""
    name, _, rest = path.partition("/")
    if isinstance(facts, dict):
        return {**facts, name: changed(facts[name], rest, value) if rest else value}
    if isinstance(facts, tuple):
        inner = changed(facts[int(name)], rest, value) if rest else value
        return tuple(inner if index == int(name) else one for index, one in enumerate(facts))
    inner = changed(getattr(facts, name), rest, value) if rest else value
    return facts.model_copy(update={name: inner})


def catalog_with(path: str, value: Any) -> Catalog:
    """The shipped catalog with one other fact."""
    catalog = changed(SHIPPED, path, value)
    assert isinstance(catalog, Catalog)
    return catalog


def with_flags(version: str, without: str) -> Catalog:
    """The shipped catalog in which a version of vLLM lacks a flag."""
    flags = SHIPPED.flags["vllm"][version]
    fewer = {name: flag for name, flag in flags.flags.items() if name != without}
    other = ServerFlags(**{**{name: getattr(flags, name) for name in ServerFlags.model_fields}, "flags": fewer})
    versions = {**SHIPPED.flags["vllm"], version: other}
    return SHIPPED.model_copy(update={"flags": {**SHIPPED.flags, "vllm": versions}})


def server_of(catalog: Catalog | None, **server: Any) -> ServerPlan:
    (planned,) = plan_stack(parse_settings(autopilot_stack(**server)), IDENTITY, catalog).servers
    return planned


def problems_of(catalog: Catalog, **server: Any) -> tuple[Finding, ...]:
    with pytest.raises(Refusal) as refused:
        server_of(catalog, **server)
    return refused.value.problems


def test_without_a_catalog_the_shipped_one_decides() -> None:
    assert server_of(None) == server_of(SHIPPED)


def test_presets_are_those_of_the_catalog() -> None:
    fp8 = SHIPPED.presets["fp8"]
    assert isinstance(fp8, Technique)
    catalog = catalog_with("presets/fp8/vllm", fp8.vllm[:1])  # of checkpoints alone
    asked = {"presets": ["cost"], "accelerator": {"type": "nvidia-l4", "count": 1}, "revision": "main"}
    assert "--quantization=fp8" in server_of(SHIPPED, **asked).arguments
    assert "--quantization=fp8" not in server_of(catalog, **asked).arguments
    renamed = SHIPPED.model_copy(update={"presets": {"8-bit": SHIPPED.presets["fp8"]}})
    assert "--quantization=fp8" in server_of(renamed, presets=["8-bit"]).arguments
    (problem,) = problems_of(renamed, presets=["prefix-caching"])
    assert (problem.what, problem.fix) == ("prefix-caching is not a preset", "use one of: 8-bit")


def test_flags_are_those_of_the_catalog() -> None:
    assert "--max-num-seqs=8" in server_of(SHIPPED, version="0.26.0", maxNumSeqs=8).arguments
    (problem,) = problems_of(with_flags("0.26.0", "--max-num-seqs"), version="0.26.0", maxNumSeqs=8)
    assert problem.path == "servers.gemma.maxNumSeqs"
    assert problem.what.startswith("vLLM 0.26.0 refuses --max-num-seqs: --max-num-seqs is not a flag of vLLM 0.26.0")
    (extra,) = problems_of(with_flags("0.26.0", "--seed"), version="0.26.0", extraArgs=["--seed=1"])
    assert (extra.path, extra.what) == ("servers.gemma.extraArgs[0]", "--seed is not a flag of vLLM 0.26.0")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("memory/vllm/weights/linear_bits/bf16", 20.0),
        ("memory/vllm/runtime/process_mib", 1000.0),
        ("memory/versions/visible_memory/nvidia-l4/mib", 20000),
    ],
)
def test_memory_is_planned_with_the_constants_of_the_catalog(path: str, value: float) -> None:
    own, other = server_of(SHIPPED).memory, server_of(catalog_with(path, value)).memory
    assert own is not None
    assert other is not None
    assert (own.weights_mib, own.state.peak_mib, own.total_mib) != (
        other.weights_mib,
        other.state.peak_mib,
        other.total_mib,
    )


def test_a_gpu_without_a_known_memory_needs_it_from_the_stack() -> None:
    known = {name: one for name, one in SHIPPED.memory.versions.visible_memory.items() if name != "nvidia-l4"}
    catalog = catalog_with("memory/versions/visible_memory", known)
    (problem,) = problems_of(catalog)
    assert (problem.path, problem.what) == ("servers.gemma.accelerator.type", "the memory of nvidia-l4 is not known")
    assert problem.fix.startswith("give servers.gemma.accelerator.memoryMib")
    assert (
        server_of(catalog, accelerator={"memoryMib": 22561}).memory
        == server_of(SHIPPED, accelerator={"memoryMib": 22561}).memory
    )


def test_alternatives_are_planned_with_the_facts_of_the_catalog() -> None:
    def names(catalog: Catalog) -> list[str]:
        return [one.what for one in server_of(catalog).alternatives]

    without = catalog_with("checkpoints", {})
    assert [name for name in names(SHIPPED) if name.startswith("the checkpoint")]
    assert not [name for name in names(without) if name.startswith("the checkpoint")]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("network/dns/addresses", ("192.0.2.53/32",), "192.0.2.53/32"),
        ("network/collectors/namespaces", ("telemetry",), "telemetry"),
        ("network/private_ranges", ("192.0.2.0/24",), "192.0.2.0/24"),
    ],
)
def test_network_policies_name_the_peers_of_the_catalog(path: str, value: Any, expected: str) -> None:
    settings = parse_settings({**autopilot_stack(), "observability": {"metrics": {"enabled": True}}})
    own, other = (
        plan_stack(settings, IDENTITY, catalog).servers[0].network_policy
        for catalog in (SHIPPED, catalog_with(path, value))
    )
    assert own is not None
    assert other is not None
    assert expected not in str(own.spec)
    assert expected in str(other.spec)


def test_prices_are_those_of_the_catalog() -> None:
    raw = standard_stack({"l4": {}}, {"qwen": {**QWEN, "maxModelLen": 4096}})

    def hourly(catalog: Catalog) -> float:
        plan = plan_stack(parse_settings(raw), IDENTITY, catalog)
        cost = stack_document(plan, catalog)["servers"]["qwen"]["cost"]["hourlyUsd"]
        assert isinstance(cost, float)
        return cost

    own = SHIPPED.prices.families["g2-standard"]["us-central1"]
    dearer = own.model_copy(update={"gpu": own.gpu + 1})
    assert hourly(catalog_with("prices/families/g2-standard/us-central1", dearer)) == pytest.approx(hourly(SHIPPED) + 1)


def test_a_start_takes_what_the_catalog_says() -> None:
    slower = catalog_with("startup/process/seconds", SHIPPED.startup.process.seconds + 100)
    assert server_of(slower).start.expected_seconds == server_of(SHIPPED).start.expected_seconds + 100
