"""One server on an existing cluster, so that nothing but its settings and presets decides about it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.versions import full_version, neighboring_versions
from gke_llm_inference.settings import Finding, Refusal
from tests.planning.support import CATALOG, architecture, existing_stack, is_of_vulnerabilities, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gke_llm_inference.catalog import ServerKind
    from gke_llm_inference.planning import ServerPlan, StackPlan
    from tests.settings.support import Raw

VLLM: Literal["vllm"] = "vllm"
TGI: Literal["tgi"] = "tgi"
VLLM_VERSIONS = ("0.6.0", "0.10.0", "0.19.1", "0.26.0", "0.33.0")
TGI_VERSIONS = ("2.3.1", "3.3.7")
VERSIONS: dict[ServerKind, tuple[str, ...]] = {VLLM: VLLM_VERSIONS, TGI: TGI_VERSIONS}

GEMMA = "google/gemma-7b-it"
GEMMA_AWQ = "google/gemma-7b-AWQ"
GEMMA_GPTQ = "TechxGenus/gemma-7b-it-GPTQ"
GEMMA2_FP8 = "RedHatAI/gemma-2-9b-it-FP8"
GEMMA3_27B = "google/gemma-3-27b-it"
GEMMA3_27B_W4 = "ISTA-DASLab/gemma-3-27b-it-GPTQ-4b-128g"
LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
LLAMA_8B_AWQ = "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4"
LLAMA_8B_FP8 = "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8"
LLAMA_13B = "meta-llama/Llama-2-13b-hf"
LLAMA_13B_GPTQ = "TheBloke/Llama-2-13B-chat-GPTQ"
LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"
LLAMA_70B_AWQ = "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"
MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
MIXTRAL_AWQ = "casperhansen/mixtral-instruct-awq"
FALCON = "tiiuae/falcon-40b-instruct"


@contextmanager
def few_simulations(count: int = 10) -> Iterator[None]:
    """A search of little work, for what must hold whatever it finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gke_llm_inference.planning.optimization.search.SIMULATIONS", count)
        yield


def stack(**server: Any) -> Raw:
    """An existing cluster with one server named gemma; `server` changes or adds keys of it.

    Whether it fits its GPUs is another matter, and only warned of.
    """
    return existing_stack({"gemma": {"server": "vllm", "model": GEMMA, "allowUnfit": True, **server}})


def outcome(**server: Any) -> StackPlan | Refusal:
    """What planning the server gives: a plan or a refusal, never anything else."""
    return outcome_of(stack(**server))


def plan_of(**server: Any) -> ServerPlan:
    """The plan of the server."""
    result = outcome(**server)
    assert not isinstance(result, Refusal), str(result)
    (planned,) = result.servers
    return planned


def arguments_of(**server: Any) -> tuple[str, ...]:
    """The server's arguments beyond model, port and number of GPUs."""
    always = ("--model-id=", "--port=", "--tensor-parallel-size=", "--num-shard=")
    return tuple(text for text in plan_of(**server).arguments if text.startswith("--") and not text.startswith(always))


def decisions_of(**server: Any) -> list[str]:
    """What was decided for the server, as a preview says it."""
    return [str(decision) for decision in plan_of(**server).decisions]


def warnings_of(**server: Any) -> list[Finding]:
    """The warnings of the plan, but that TGI is in maintenance, whether the server fits, and known vulnerabilities."""
    result = outcome(**server)
    assert not isinstance(result, Refusal), str(result)
    said = [one for one in result.warnings if not is_of_vulnerabilities(one)]
    return [warning for warning in said if warning.path not in ("servers.gemma", "servers.gemma.server")]


def problems_of(**server: Any) -> tuple[Finding, ...]:
    """The problems for which the server is refused."""
    result = outcome(**server)
    assert isinstance(result, Refusal), "the plan is not refused"
    return result.problems


def only_problem(**server: Any) -> Finding:
    """The one problem for which the server is refused."""
    (problem,) = problems_of(**server)
    return problem


def described(model: str = "me/mine", **numbers: Any) -> Raw:
    """Keys of a server with a model that the catalog does not have; `numbers` changes or adds keys of it."""
    return {"model": model, "architecture": architecture(**numbers)}


def flag_problems(server: ServerKind, version: str, arguments: tuple[str, ...]) -> list[str]:
    """What the catalog's flags of a version have against arguments; the model's place is not looked at."""
    known = neighboring_versions(full_version(version), CATALOG.servers[server])
    flags = [load_catalog().flags[server][one] for one in known]
    return [
        problems[0] or ""
        for text in arguments
        if text.startswith("-") and all(problems := [one.check(text) for one in flags])
    ]
