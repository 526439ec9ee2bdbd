"""Any combination of settings, presets and version gives arguments that the version takes, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.settings import Refusal
from tests.planning.support import CATALOG, outcome_of
from tests.presets.support import described, few_simulations, flag_problems, stack
from tests.settings.support import PROPERTY, TOKEN, autopilot_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.searches


@pytest.fixture(scope="module", autouse=True)
def _quick_goals() -> Iterator[None]:
    with few_simulations():
        yield


MANY = hypothesis.settings(PROPERTY, max_examples=300)

_NUMBERS = st.one_of(
    st.sampled_from([1, 2, 31, 32, 1023, 1024, 2048, 4095, 4096, 4097, 8191, 8192, 8193, 131072]),
    st.integers(1, 10**9),
)
_QUANTIZATIONS = st.sampled_from(
    [
        *("awq", "awq_marlin", "auto_awq", "gptq", "gptq_marlin", "squeezellm", "fp8", "compressed-tensors"),
        *("bitsandbytes", "bitsandbytes-nf4", "bitsandbytes-fp4", "eetq", "exl2", "marlin", "modelopt", "nonsense"),
    ]
)
_FORMATS = ("none", "awq", "gptq", "fp8", "compressed-tensors", "squeezellm", "bitsandbytes")
_MODELS = st.one_of(
    st.sampled_from([{"model": name} for name in (*CATALOG.models, *CATALOG.checkpoints, "nobody/knows-this")]),
    st.builds(
        lambda **numbers: described(**numbers),
        checkpoint=st.sampled_from(_FORMATS),
        family=st.sampled_from(["gemma", "gemma2", "gemma3", "llama", "falcon", "other"]),
        attentionHeads=st.sampled_from([1, 4, 28, 32, 71]),
        kvHeads=st.just(1),
        headDim=st.sampled_from([64, 80, 128, 256]),
        maxPositions=st.sampled_from([1, 2, 2048, 8192, 131072]),
        parameters=st.sampled_from([1, 10**9, 10**11, 2 * 10**12]),
    ),
)
_EXTRA_ARGUMENTS = st.lists(
    st.sampled_from(
        [
            *("--seed=1", "--max-model-len=1024", "--max_num_seqs=4", "--max-total-tokens=64", "--json-output"),
            *("--swap-space=4", "--enforce-eager", "--quantize=eetq", "--zzz", "-tp=2", "--api-key=x", "; ls"),
            *(
                '--override-generation-config={"a": "b c"}',
                "--compilation-config.level=1",
                "--num-shard=2",
                f"--{TOKEN}",
            ),
        ]
    ),
    max_size=3,
)
_COMMON = {
    "presets": st.lists(st.sampled_from([*load_catalog().presets, "awk"]), max_size=4),
    "accelerator": st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from([*CATALOG.accelerators, "nvidia-x"]), "count": st.integers(1, 9)}
    ),
    "replicas": st.integers(0, 3),
    "revision": st.just("main"),
    "maxModelLen": _NUMBERS,
    "maxOutputTokens": _NUMBERS,
    "quantization": _QUANTIZATIONS,
    "kvCacheDtype": st.sampled_from(["auto", "fp8_e4m3", "fp8_e5m2"]),
    "speculativeTokens": st.integers(1, 16),
    "extraArgs": _EXTRA_ARGUMENTS,
    "extraEnv": st.dictionaries(
        st.sampled_from(["PLAIN", "API_KEY", "A B"]), st.sampled_from(["x", "$(X)", TOKEN]), max_size=2
    ),
}
_SERVERS = st.one_of(
    st.fixed_dictionaries(
        {"server": st.just("vllm")},
        optional={
            **_COMMON,
            "version": st.sampled_from(
                [
                    *("0.5.0", "0.6.0", "0.6.1", "0.9.2", "0.10", "0.10.0", "0.11.0", "0.18.0", "0.19.1", "0.26.0"),
                    *("0.28.0", "0.33.0", "0.40.0", "1.0"),
                ]
            ),
            "maxNumSeqs": _NUMBERS,
            "maxNumBatchedTokens": _NUMBERS,
            "gpuMemoryUtilization": st.floats(0.1, 1),
            "loadFormat": st.sampled_from(["auto", "safetensors", "bitsandbytes", "runai_streamer", "nonsense"]),
            "prefixCaching": st.booleans(),
            "chunkedPrefill": st.booleans(),
            "attentionBackend": st.sampled_from(["FLASHINFER", "TRITON_ATTN", "NONSENSE"]),
            "enforceEager": st.booleans(),
            "servedModelName": st.sampled_from(["gemma", "--api-key", "$(X)", " "]),
        },
    ),
    st.fixed_dictionaries(
        {"server": st.just("tgi")},
        optional={
            **_COMMON,
            "version": st.sampled_from(["2.0", "2.3.1", "2.4.0", "3.0", "3.3.6", "3.3.7", "4.0.0"]),
            "maxInputTokens": _NUMBERS,
            "maxBatchPrefillTokens": _NUMBERS,
            "cudaMemoryFraction": st.floats(0.1, 1),
        },
    ),
)


def check(raw: dict[str, Any]) -> bool:
    """Whether there is a plan; its arguments and the refusal's problems are looked at."""
    result = outcome_of(raw)
    if isinstance(result, Refusal):
        assert result.problems
        assert [problem for problem in result.problems if not (problem.path and problem.what and problem.fix)] == []
        assert TOKEN not in str(result)
        return False
    (server,) = result.servers
    assert flag_problems(server.kind, server.version, server.arguments) == []
    names = [text.partition("=")[0] for text in server.arguments]
    assert len(names) == len(set(names)), "a flag is listed twice"
    assert [decision for decision in server.decisions if not (decision.what and decision.why)] == []
    assert TOKEN not in str(server)
    return True


def test_a_server_is_planned_with_arguments_that_its_version_takes_or_refused() -> None:
    planned: list[bool] = []

    @MANY
    @given(server=_SERVERS, model=_MODELS)
    def examine(server: dict[str, Any], model: dict[str, Any]) -> None:
        planned.append(check(stack(**server, **model)))

    examine()
    assert 0.05 < sum(planned) / len(planned) < 0.95, "the examples reach plans or refusals alone"


@PROPERTY
@given(server=_SERVERS, model=_MODELS)
def test_a_server_on_autopilot_is_planned_or_refused(server: dict[str, Any], model: dict[str, Any]) -> None:
    check(autopilot_stack(**server, **model))


@MANY
@given(
    presets=st.lists(st.sampled_from(list(load_catalog().presets)), max_size=5, unique=True),
    server=st.sampled_from(
        [("vllm", version) for version in ("0.6.0", "0.10.0", "0.19.1", "0.26.0", "0.33.0")]
        + [("tgi", version) for version in ("2.3.1", "3.3.7")]
    ),
    model=_MODELS,
)
def test_presets_compose_into_arguments_or_a_refusal(
    presets: list[str], server: tuple[str, str], model: dict[str, Any]
) -> None:
    kind, version = server
    check(stack(server=kind, version=version, **model, presets=presets))


@PROPERTY
@given(server=_SERVERS, model=_MODELS)
def test_the_same_server_gives_the_same_plan(server: dict[str, Any], model: dict[str, Any]) -> None:
    assert str(outcome_of(stack(**server, **model))) == str(outcome_of(stack(**server, **model)))
