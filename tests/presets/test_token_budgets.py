"""One request for a context and an answer means the same on both servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.settings import Refusal
from tests.presets.support import arguments_of, only_problem, outcome, plan_of
from tests.settings.support import PROPERTY

Limits = dict[str, Any]


def answers(tokens: int) -> str:
    return '--override-generation-config={"max_new_tokens":' + str(tokens) + "}"


@pytest.mark.parametrize(
    ("limits", "vllm", "tgi"),
    [
        (
            {"maxModelLen": 4096, "maxOutputTokens": 1024},
            ("--max-model-len=4096", answers(1024)),
            ("--max-input-tokens=3072", "--max-total-tokens=4096"),
        ),
        ({"maxModelLen": 4096}, ("--max-model-len=4096",), ("--max-input-tokens=4095", "--max-total-tokens=4096")),
        (
            {"maxModelLen": 8192, "maxOutputTokens": 8191},
            ("--max-model-len=8192", answers(8191)),
            ("--max-input-tokens=1", "--max-total-tokens=8192"),
        ),
        (
            {"maxModelLen": 2, "maxOutputTokens": 1},
            ("--max-model-len=2", answers(1)),
            ("--max-input-tokens=1", "--max-total-tokens=2"),
        ),
        ({}, (), ()),
    ],
    ids=["both", "context", "nearly all answer", "least", "nothing"],
)
def test_a_request_for_tokens_is_translated_for_each_server(
    limits: Limits, vllm: tuple[str, ...], tgi: tuple[str, ...]
) -> None:
    assert arguments_of(**limits) == vllm
    assert arguments_of(server="tgi", **limits) == tgi
    assert arguments_of(server="tgi", version="2.3.1", **limits) == tgi


@pytest.mark.parametrize("version", ["2.3.1", "3.3.7"])
def test_an_answer_without_a_context_is_planned_on_vllm_and_refused_on_tgi(version: str) -> None:
    assert arguments_of(maxOutputTokens=1024) == (answers(1024),)
    problem = only_problem(server="tgi", version=version, maxOutputTokens=1024)
    assert (problem.path, problem.what) == (
        "servers.gemma.maxOutputTokens",
        "has no effect without maxModelLen",
    )
    assert problem.why == "TGI limits input and context; the output gets what remains"
    assert problem.fix == "add maxModelLen, more than that and 8192 or less"


@PROPERTY
@given(context=st.integers(2, 8192), data=st.data())
def test_prompt_and_answer_fill_the_context_on_tgi_and_the_context_is_the_same_on_vllm(
    context: int, data: st.DataObject
) -> None:
    answer = data.draw(st.integers(1, context - 1))
    limits = {"maxModelLen": context, "maxOutputTokens": answer}
    assert arguments_of(server="tgi", **limits) == (
        f"--max-input-tokens={context - answer}",
        f"--max-total-tokens={context}",
    )
    length, generation = arguments_of(**limits)
    assert length == f"--max-model-len={context}"
    assert json.loads(generation.partition("=")[2]) == {"max_new_tokens": answer}


@PROPERTY
@given(context=st.integers(1, 9000), answer=st.integers(1, 9000))
def test_both_servers_refuse_the_same_requests(context: int, answer: int) -> None:
    limits = {"maxModelLen": context, "maxOutputTokens": answer}
    on_vllm, on_tgi = outcome(**limits), outcome(server="tgi", **limits)
    assert isinstance(on_vllm, Refusal) == isinstance(on_tgi, Refusal) == (answer >= context or context > 8192)


def test_a_prompt_of_tgi_may_be_shorter_than_what_the_answer_leaves() -> None:
    limits = {"server": "tgi", "maxModelLen": 4096, "maxOutputTokens": 1024, "maxInputTokens": 512}
    assert arguments_of(**limits) == ("--max-input-tokens=512", "--max-total-tokens=4096")


def test_an_answer_cannot_be_capped_on_0_6_0_and_the_plan_says_so() -> None:
    problem = only_problem(version="0.6.0", maxModelLen=4096, maxOutputTokens=1024)
    assert problem.path == "servers.gemma.maxOutputTokens"
    assert problem.what.startswith("vLLM 0.6.0 refuses --override-generation-config: ")
    assert problem.fix == "leave the setting out, or use another version"
    plan = plan_of(version="0.6.0", presets=["token-limits"])
    assert "this version cannot cap output tokens" in " ".join(map(str, plan.decisions))


@pytest.mark.parametrize("version", ["0.10.0", "0.19.1", "0.26.0", "0.33.0"])
def test_a_request_for_tokens_means_the_same_on_every_version_since(version: str) -> None:
    arguments = arguments_of(version=version, maxModelLen=2048, maxOutputTokens=256)
    assert arguments == ("--max-model-len=2048", answers(256))
