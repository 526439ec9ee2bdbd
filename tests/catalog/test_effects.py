"""Every flag of every version has one class, and so has every variable that the servers' own code names."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from pydantic.alias_generators import to_snake

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.settings import TgiSettings, VllmSettings
from tests.planning.support import CATALOG

if TYPE_CHECKING:
    from gke_llm_inference.catalog import ServerKind

KINDS: tuple[ServerKind, ...] = ("vllm", "tgi")


def flags_of(kind: ServerKind) -> set[str]:
    return {name for version in load_catalog().flags[kind].values() for name in version.flags}


@pytest.mark.parametrize("kind", KINDS)
def test_every_flag_of_every_version_has_one_class(kind: ServerKind) -> None:
    classes = Counter(name for name, _ in CATALOG.effects.servers[kind].classes())
    assert {name: count for name, count in classes.items() if count > 1} == {}
    assert flags_of(kind) - set(classes) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_is_of_a_flag(kind: ServerKind) -> None:
    effects = CATALOG.effects.servers[kind]
    assert {name for name, _ in effects.classes()} - flags_of(kind) == set()
    assert set(effects.needs.values()) <= flags_of(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flag_that_sets_what_a_setting_sets_names_one(kind: ServerKind) -> None:
    names = set(VllmSettings.model_fields if kind == "vllm" else TgiSettings.model_fields)
    assert {
        setting for setting in CATALOG.effects.servers[kind].settings.values() if to_snake(setting) not in names
    } == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_variable_has_one_class(kind: ServerKind) -> None:
    own, common = CATALOG.effects.variables(kind)
    for effects in (own, common):
        counts = Counter(name for name, _ in effects.classes())
        assert {name: count for name, count in counts.items() if count > 1} == {}
    assert {name for name, _ in own.classes()} & {name for name, _ in common.classes()} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_flag_that_changes_memory_states_a_band(kind: ServerKind) -> None:
    for group in (*CATALOG.effects.servers[kind].changes, *CATALOG.effects.servers[kind].variables.changes):
        sizes = (*group.at_least.model_dump().values(), *group.at_most.model_dump().values())
        assert any(sizes) or group.host_per_unit or "routes" in group.what or "paths" in group.what, group.what
        for name in group.at_most.model_fields_set & group.at_least.model_fields_set:
            assert getattr(group.at_least, name) <= getattr(group.at_most, name)


def test_the_most_particular_pattern_of_a_variable_counts() -> None:
    common = CATALOG.effects.common
    assert common.refusal("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT") is not None
    assert common.refusal("CUDA_LAUNCH_BLOCKING") is None
    assert common.knows("CUDA_LAUNCH_BLOCKING")
    assert common.change("NCCL_BUFFSIZE") is not None
    assert common.change("NCCL_DEBUG") is None
    assert not common.knows("MINE")
