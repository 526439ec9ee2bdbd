"""No value of a configuration is ever repeated in an error: it could be a token in the wrong place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.settings import Refusal
from tests.settings.strategies import RAW_STACKS
from tests.settings.support import (
    PROPERTY,
    TOKEN,
    Path,
    Raw,
    autopilot_stack,
    changed,
    dotted,
    full_stack,
    leaves,
    mappings,
    only_problem,
    outcome_of,
    refusal_of,
    variants,
)

EVERYWHERE = {f"{name}: {dotted(path)}": (raw, path) for name, raw in variants().items() for path, _ in leaves(raw)}
EVERY_MAPPING = {f"{name}: {dotted(path)}": (raw, path) for name, raw in variants().items() for path in mappings(raw)}
DISGUISES = {
    "alone": TOKEN,
    "in a sentence": f"token {TOKEN} here",
    "as a range": f"{TOKEN}/24",
    "with a line break": f"{TOKEN}\n{TOKEN}",
    "in a list": [TOKEN],
    "in a mapping": {"token": TOKEN},
    "as a key": {TOKEN: 1},
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_a_token_in_the_place_of_any_value_is_not_in_the_refusal(disguise: Any) -> None:
    outcomes = {where: outcome_of(changed(raw, path, disguise)) for where, (raw, path) in EVERYWHERE.items()}
    assert [where for where, outcome in outcomes.items() if not isinstance(outcome, Refusal)] == []
    assert {where: str(refusal) for where, refusal in outcomes.items() if TOKEN in f"{refusal}{refusal!r}"} == {}


@pytest.mark.parametrize("disguise", ["Correct-Horse", "a Correct-Horse/24", ["Correct-Horse"], {"x": "Correct-Horse"}])
def test_another_secret_in_the_place_of_any_value_is_not_in_the_refusal_either(disguise: Any) -> None:
    outcomes = {where: outcome_of(changed(raw, path, disguise)) for where, (raw, path) in EVERYWHERE.items()}
    refusals = {where: outcome for where, outcome in outcomes.items() if isinstance(outcome, Refusal)}
    assert len(refusals) > len(EVERYWHERE) // 2
    assert {where: str(one) for where, one in refusals.items() if "Correct-Horse" in f"{one}{one!r}"} == {}


def test_a_token_as_any_key_is_not_in_the_refusal() -> None:
    for where, (raw, path) in EVERY_MAPPING.items():
        outcome = outcome_of(changed(raw, (*path, TOKEN), 1))
        assert isinstance(outcome, Refusal), where
        assert TOKEN not in str(outcome), where


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("servers",), {f"team-{TOKEN}": {"server": "vllm"}}, "servers.team-[secret]"),
        (("servers", "gemma", "extraEnv"), {"X": f"a {TOKEN}"}, "servers.gemma.extraEnv.X"),
        (("servers", "gemma", "extraArgs"), ["--seed=1", f"--hf-token={TOKEN}"], "servers.gemma.extraArgs[1]"),
        (("cluster", "authorizedNetworks", 0, "name"), TOKEN, "cluster.authorizedNetworks[0].name"),
        (("unheardOf",), {"deeper": [{"still": TOKEN}]}, "unheardOf.deeper[0].still"),
    ],
    ids=["name", "variable", "argument", "free text", "unknown key"],
)
def test_a_token_in_clear_text_is_refused_wherever_it_stands(path: Path, value: Any, where: str) -> None:
    problem = only_problem(changed(full_stack(), path, value))
    assert (problem.path, problem.what) == (where, "holds a Hugging Face token in clear text")
    assert problem.fix == "revoke it, then: pulumi config set --secret huggingFaceToken"


def test_a_token_in_clear_text_comes_before_every_other_problem() -> None:
    raw = changed(full_stack(), ("servers", "gemma", "replicas"), -1)
    raw["namespace"] = TOKEN
    assert only_problem(raw).path == "namespace"


@given(raw=RAW_STACKS, data=st.data())
@PROPERTY
def test_a_token_anywhere_in_any_configuration_is_not_in_the_refusal(raw: Raw, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path, _ in leaves(raw)]))
    planted = data.draw(st.sampled_from(list(DISGUISES.values())))
    outcome = outcome_of(changed(raw, path, planted))
    assert isinstance(outcome, Refusal)
    assert TOKEN not in str(outcome)


@pytest.mark.parametrize("secret", [TOKEN, "correct-horse"], ids=["token", "other"])
def test_a_secret_in_a_range_is_not_repeated_whatever_stands_beside_it(secret: str) -> None:
    raw = autopilot_stack()
    raw["cluster"]["network"] = {"mode": "create", "nodesCidr": f"{secret} host bits"}
    assert secret not in str(refusal_of(raw))


def test_the_cause_of_a_refusal_does_not_hold_the_value_either() -> None:
    refusal = refusal_of(changed(full_stack(), ("cluster", "releaseChannel"), "correct-horse"))
    assert refusal.__cause__ is None
    assert refusal.__suppress_context__
    refusal = refusal_of(changed(full_stack(), ("cluster", "releaseChannel"), TOKEN))
    assert (refusal.__cause__, refusal.__context__) == (None, None)
