"""Arguments and variables of one's own: checked against the version, shown as overrides, never with a secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.arguments import Argument
from gke_llm_inference.planning.extra_arguments import environment_problems, merge_arguments
from gke_llm_inference.settings import Refusal
from tests.planning.support import existing_stack, outcome_of
from tests.presets.support import GEMMA, TGI, VLLM, only_problem, outcome, plan_of, problems_of
from tests.settings.support import PROPERTY, TOKEN

SECRET_FIX = "keep the token under huggingFace; API keys under apiKeys"
PLANTED = {
    "Hugging Face": TOKEN,
    "Google": "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "OpenAI": "sk-abcdefghijklmnopqrstuvwxyz",
    "private key": "-----BEGIN PRIVATE KEY-----",
}


# Overrides


@pytest.mark.parametrize(
    ("server", "extra", "old"),
    [
        ({"maxModelLen": 4096}, "--max-model-len=2048", "--max-model-len=4096"),
        ({"maxModelLen": 4096}, "--max_model_len=2k", "--max-model-len=4096"),
        ({"prefixCaching": True}, "--no-enable-prefix-caching", "--enable-prefix-caching"),
        ({"prefixCaching": False}, "--enable-prefix-caching", "--no-enable-prefix-caching"),
        ({"presets": ["fp8"]}, "--quantization=bitsandbytes", "--quantization=fp8"),
        (
            {"presets": ["ngram-speculation"]},
            '--speculative-config={"method": "ngram", "num_speculative_tokens": 5}',
            '--speculative-config={"method":"ngram","num_speculative_tokens":3,"prompt_lookup_max":4}',
        ),
        ({"server": "tgi", "maxModelLen": 4096}, "--max-total-tokens=4000", "--max-total-tokens=4096"),
    ],
)
def test_an_argument_takes_the_place_of_a_planned_one_and_the_plan_says_so(
    server: dict[str, Any], extra: str, old: str
) -> None:
    before, after = plan_of(**server), plan_of(**server, extraArgs=[extra])
    assert old in before.arguments
    expected = tuple(extra if text == old else text for text in before.arguments)
    assert after.arguments == expected
    assert after.decisions[-1].what == f"{extra} overrides {old}"
    assert str(after.decisions[-1]) == f"extraArgs: {extra} overrides {old} (an extra argument replaces a planned one)"


@pytest.mark.parametrize(
    ("server", "extra", "name", "fix"),
    [
        (VLLM, "--model=google/gemma-7b-it", "--model", "set model instead"),
        (VLLM, "--port=8000", "--port", "remove it; the Service uses 8000"),
        (VLLM, "--tensor-parallel-size=1", "--tensor-parallel-size", "set accelerator.count instead"),
        (VLLM, "--tensor_parallel_size=4", "--tensor-parallel-size", "set accelerator.count instead"),
        (VLLM, "--pipeline-parallel-size=2", "--pipeline-parallel-size", "set pipelineParallelSize instead"),
        (VLLM, "--pipeline_parallel_size=1", "--pipeline-parallel-size", "set pipelineParallelSize instead"),
        (TGI, "--model-id=google/gemma-7b-it", "--model-id", "set model instead"),
        (TGI, "--port=8080", "--port", "remove it; the Service uses 8000"),
        (TGI, "--num-shard=1", "--num-shard", "set accelerator.count instead"),
        (TGI, "--num-shard=4", "--num-shard", "set accelerator.count instead"),
        (TGI, "--sharded=true", "--sharded", "set accelerator.count instead"),
        (TGI, "--sharded=false", "--sharded", "set accelerator.count instead"),
    ],
)
def test_an_argument_that_the_rest_of_the_plan_depends_on_is_refused(
    server: str, extra: str, name: str, fix: str
) -> None:
    problem = only_problem(server=server, extraArgs=[extra])
    assert (problem.path, problem.what) == ("servers.gemma.extraArgs[0]", f"{name} cannot be set in extraArgs")
    assert (problem.why, problem.fix) == ("the rest of the plan depends on it", fix)


def test_another_argument_goes_to_the_end_without_a_word() -> None:
    plan = plan_of(extraArgs=["--seed=7", "--disable-log-stats"])
    assert plan.arguments == (*plan_of().arguments, "--seed=7", "--disable-log-stats")
    assert plan.decisions == ()


def test_a_long_alias_of_a_flag_overrides_it() -> None:
    flags = load_catalog().flags[VLLM]["0.26.0"]
    aliases = {alias: name for name, flag in flags.flags.items() for alias in flag.aliases if alias.startswith("--")}
    for alias, name in aliases.items():
        if flags.flags[name].type != "integer":
            continue
        planned = (Argument(f"{name}=1", "replicas"),)
        merged, decisions, problems = merge_arguments("server", planned, [f"{alias}=2"], [flags])
        assert [one.text for one in merged] == [f"{alias}=2"]
        assert (len(decisions), problems) == (1, [])


@pytest.mark.parametrize("extra", ["-tp=2", "-tp 2", "-q=awq", "-p=80", "tensor-parallel-size=2", "4096", ""])
def test_an_argument_is_written_with_its_long_name(extra: str) -> None:
    problem = only_problem(extraArgs=[extra])
    assert (problem.path, problem.what) == ("servers.gemma.extraArgs[0]", "does not begin with a flag")
    assert problem.fix == "write --flag=value, or --flag alone"


@pytest.mark.parametrize(
    ("extra", "index"),
    [
        (["--seed=1", "--seed=2"], 1),
        (["--max-model-len=1024", "--seed=1", "--max_model_len=2048"], 2),
        (["--enable-lora", "--no-enable-lora"], 1),
        (["--compilation-config.level=1", "--compilation-config.level=2"], 1),
    ],
    ids=["same", "underscores", "switched off", "key of a JSON flag"],
)
def test_an_argument_that_stands_there_twice_is_refused(extra: list[str], index: int) -> None:
    problem = only_problem(extraArgs=extra)
    assert problem.path == f"servers.gemma.extraArgs[{index}]"
    assert problem.what == f"{extra[index].partition('=')[0]} is listed twice"
    assert (problem.why, problem.fix) == ("only the last would count", "remove one")


@pytest.mark.parametrize(
    "extra",
    [
        ["--compilation-config.level=1", "--compilation-config.use_inductor=true"],
        ["--kv-transfer-config.kv_role=kv_both", "--kv-transfer-config.kv_connector=X"],
    ],
)
def test_several_keys_of_one_flag_are_several_arguments(extra: list[str]) -> None:
    assert plan_of(extraArgs=extra).arguments[-2:] == tuple(extra)


# Unknown flags and wrong values


@pytest.mark.parametrize(
    ("server", "extra", "what"),
    [
        ({}, "--max-modle-len=1", "--max-modle-len is not a flag of vLLM 0.26.0; the nearest is --max-model-len"),
        ({"version": "0.33.0"}, "--swap-space=4", "--swap-space is not a flag of vLLM 0.33.0"),
        ({}, "--zzz", "--zzz is not a flag of vLLM 0.26.0"),
        (
            {"server": "tgi"},
            "--max-input-token=1",
            "--max-input-token is not a flag of TGI 3.3.7; the nearest is --max-input-tokens",
        ),
        ({"server": "tgi"}, "--max_input_tokens=1", "--max_input_tokens is not a flag of TGI 3.3.7; the nearest is"),
        ({"server": "tgi", "version": "2.3.1"}, "--payload-limit=1", "--payload-limit is not a flag of TGI 2.3.1"),
        ({}, "--max-num-seqs=many", "--max-num-seqs=many: 'many' is not a whole number in vLLM 0.26.0"),
        ({}, "--max-num-seqs", "--max-num-seqs needs a value: a whole number"),
        ({}, "--enforce-eager=true", "--enforce-eager takes no value, but has 'true'"),
        ({}, "--dtype=int4", "--dtype=int4: 'int4' is not among auto, bfloat16, float, float16, float32, half"),
    ],
)
def test_an_argument_that_the_version_does_not_take_is_refused(server: dict[str, Any], extra: str, what: str) -> None:
    problem = only_problem(
        **server, extraArgs=["--seed=1" if server.get("server") != "tgi" else "--json-output", extra]
    )
    assert problem.path == "servers.gemma.extraArgs[1]"
    assert problem.what.startswith(what)
    assert (problem.why, problem.fix) == ("the server would refuse to start", "correct or remove it")


def test_an_argument_is_checked_against_the_version_that_runs() -> None:
    assert "--swap-space=4" in plan_of(version="0.10.0", extraArgs=["--swap-space=4"]).arguments
    assert "--payload-limit=1" in plan_of(server="tgi", extraArgs=["--payload-limit=1"]).arguments


def test_all_problems_of_arguments_are_reported_together() -> None:
    found = problems_of(extraArgs=["--zzz", "--seed=1", "; rm", "--seed=2", "--api-key=x"])
    assert [problem.path for problem in found] == [f"servers.gemma.extraArgs[{index}]" for index in (0, 2, 3, 4)]


# Shell


@pytest.mark.parametrize(
    "extra",
    [
        "--seed=1; rm -rf /",
        "--seed=1 | tee log",
        "--seed=1 && true",
        "--seed=$(id)",
        "--seed=${SEED}",
        "--seed=`id`",
        "--chat-template=/tmp/x > /dev/null",
        "--chat-template=a\nb",
        "--max-model-len 4096",
        "--hf-overrides=$(HF_TOKEN)",
    ],
)
def test_what_looks_like_shell_is_refused(extra: str) -> None:
    problem = only_problem(extraArgs=[extra])
    assert (problem.path, problem.what) == ("servers.gemma.extraArgs[0]", "contains shell syntax")
    assert problem.fix == "write --flag=value with the literal value"
    assert "HF_TOKEN" not in str(problem)


@pytest.mark.parametrize(
    "extra",
    [
        '--override-generation-config={"temperature": 0.5, "stop": ["a b", "{x}"]}',
        "--override-generation-config={}",
        '--hf-overrides={"rope_scaling": {"type": "linear", "factor": 2.0}}',
        "--served-model-name=gemma 7b it",
        "--compilation-config.level=1",
        "--max-model-len=4k",
    ],
)
def test_json_and_text_with_spaces_are_no_shell(extra: str) -> None:
    assert extra in plan_of(extraArgs=[extra]).arguments


# Secrets


@pytest.mark.parametrize(
    ("server", "extra"),
    [
        ({}, "--api-key=letmein"),
        ({}, "--api_key=letmein"),
        ({}, "--api-key"),
        ({}, "--hf-token=letmein"),
        ({}, "--hf_token"),
        ({"server": "tgi"}, "--api-key=letmein"),
        ({"server": "tgi"}, "--ngrok-authtoken=letmein"),
        *(({}, f"--served-model-name={secret}") for name, secret in PLANTED.items() if name != "Hugging Face"),
        *(({"server": "tgi"}, f"--{secret}") for name, secret in PLANTED.items() if name != "Hugging Face"),
    ],
)
def test_a_secret_on_the_command_line_is_refused_without_being_shown(server: dict[str, Any], extra: str) -> None:
    problem = only_problem(**server, extraArgs=[extra])
    assert (problem.path, problem.what) == (
        "servers.gemma.extraArgs[0]",
        "would put a secret on the command line",
    )
    assert problem.fix == SECRET_FIX
    assert not [secret for secret in ("letmein", *PLANTED.values()) if secret in str(problem)]


@pytest.mark.parametrize(
    "extra",
    [
        *(f"--seed={TOKEN}", TOKEN, f"--{TOKEN}", f"--{TOKEN}=1", f'--hf-overrides={{"token": "{TOKEN}"}}'),
        *(f"--seed=$({TOKEN})", f"--seed=1; {TOKEN}"),
    ],
)
@pytest.mark.parametrize("server", [VLLM, TGI])
def test_a_hugging_face_token_is_refused_and_never_echoed(server: str, extra: str) -> None:
    found = problems_of(server=server, extraArgs=[extra])
    assert found
    assert TOKEN not in " ".join(str(problem) for problem in found)
    # Where settings are made by hand, the plan is the second to look.
    flags = load_catalog().flags["vllm"]["0.26.0"]
    merged, decisions, problems = merge_arguments("server", (), [extra], [flags])
    assert (merged, decisions) == ((), [])
    assert [problem.what for problem in problems] == ["would put a secret on the command line"]
    assert TOKEN not in str(problems)


# Variables


def test_a_variable_reaches_the_server_beside_the_planned_ones() -> None:
    environment = dict(plan_of(extraEnv={"VLLM_LOGGING_LEVEL": "DEBUG", "HOME": "/tmp/home"}).environment)
    assert environment == {**dict(plan_of().environment), "VLLM_LOGGING_LEVEL": "DEBUG", "HOME": "/tmp/home"}


@pytest.mark.parametrize("name", ["", "1A", "A B", "A-B", "A=B", "A.B", "Ä", "A\n"])
def test_a_name_that_is_not_valid_for_a_variable_is_refused(name: str) -> None:
    problem = only_problem(extraEnv={name: "x"})
    assert (problem.path, problem.what) == ("servers.gemma.extraEnv", "is not a valid environment variable name")
    assert (problem.why, problem.fix) == ("names are letters, digits and _, and do not begin with a digit", "rename it")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VLLM_API_KEY", "letmein"),
        ("API_KEY", "letmein"),
        ("HF_TOKEN", "letmein"),
        ("HUGGING_FACE_HUB_TOKEN", "letmein"),
        ("hf_api_token", "letmein"),
        ("AWS_SECRET_ACCESS_KEY", "letmein"),
        ("DB_PASSWORD", "letmein"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "letmein"),
        ("NGROK_AUTHTOKEN", "letmein"),
        ("PGPASSWORD", "letmein"),
        *(("PLAIN", secret) for name, secret in PLANTED.items() if name != "Hugging Face"),
        *(("PLAIN", f"a {secret} b") for name, secret in PLANTED.items() if name != "Hugging Face"),
    ],
)
def test_a_secret_in_a_variable_is_refused_without_being_shown(name: str, value: str) -> None:
    problem = only_problem(extraEnv={name: value})
    assert (problem.path, problem.what) == (f"servers.gemma.extraEnv.{name}", "holds a secret")
    assert problem.fix == "keep the token under huggingFace, API keys under apiKeys, others in a Secret under pod.env"
    assert not [secret for secret in ("letmein", *PLANTED.values()) if secret in str(problem)]


@pytest.mark.parametrize("variables", [{"PLAIN": TOKEN}, {TOKEN: "x"}, {"PLAIN": f"x={TOKEN}"}])
def test_a_token_in_a_variable_is_refused_and_never_echoed(variables: dict[str, str]) -> None:
    found = problems_of(extraEnv=variables)
    assert found
    assert TOKEN not in str(found)
    assert TOKEN not in str(environment_problems("server", variables))


@pytest.mark.parametrize("value", ["$(HF_TOKEN)", "a$(B)c", "$$(B)", "$("])
def test_a_reference_to_another_variable_is_refused(value: str) -> None:
    problem = only_problem(extraEnv={"PLAIN": value})
    assert (problem.path, problem.what) == ("servers.gemma.extraEnv.PLAIN", "refers to another variable")
    assert (problem.why, problem.fix) == ("Kubernetes would put that one's value here", "remove $(")
    assert "HF_TOKEN" not in str(problem)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_BATCH_PREFILL_TOKENS", "4096"),
        ("PLAIN", ""),
        ("PLAIN", "$HOME costs 5 $"),
        ("_", "x"),
        ("PLAIN", "hf_short"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("VLLM_TOKENIZER_MODE", "auto"),
    ],
)
def test_a_variable_without_a_secret_is_planned(name: str, value: str) -> None:
    assert (name, value) in plan_of(extraEnv={name: value}).environment


def test_all_problems_of_variables_are_reported_together() -> None:
    found = problems_of(extraEnv={"A B": "x", "HF_TOKEN": "x", "PLAIN": "$(X)", "FINE": "x"})
    assert sorted(problem.what for problem in found) == [
        *("holds a secret", "is not a valid environment variable name", "refers to another variable")
    ]


# Never an exception, never an echo

_PIECES = st.lists(
    st.sampled_from(
        [
            *PLANTED.values(),
            "--",
            "-",
            "=",
            " ",
            ".",
            "{",
            "}",
            '"',
            "seed",
            "api-key",
            "hf_overrides",
            "1",
            "$(",
            ";",
            "\n",
        ]
    ),
    max_size=8,
).map("".join)

_NAMES = st.one_of(st.sampled_from(["PLAIN", "API_KEY", "A B", TOKEN, "HF_HOME"]), st.text(max_size=9))


@PROPERTY
@given(extra=st.lists(st.one_of(_PIECES, st.text(max_size=20)), max_size=3), server=st.sampled_from([VLLM, TGI]))
def test_no_argument_leads_to_an_exception_or_shows_a_secret(extra: list[str], server: str) -> None:
    result = outcome_of(existing_stack({"gemma": {"server": server, "model": GEMMA, "extraArgs": extra}}))
    shown = str(result) if isinstance(result, Refusal) else str(result.servers[0])
    assert not [secret for secret in PLANTED.values() if secret in shown]


@PROPERTY
@given(variables=st.dictionaries(_NAMES, st.one_of(_PIECES, st.text(max_size=9)), max_size=3))
def test_no_variable_leads_to_an_exception_or_shows_a_secret(variables: dict[str, str]) -> None:
    result = outcome_of(existing_stack({"gemma": {"server": VLLM, "model": GEMMA, "extraEnv": variables}}))
    shown = str(result) if isinstance(result, Refusal) else str(result.servers[0].environment)
    assert not [secret for secret in PLANTED.values() if secret in shown]


@pytest.mark.parametrize(
    ("secret", "value"),
    [
        pytest.param("Google", "x", id="alone"),
        pytest.param("Google", "$(X)", id="reference"),
        pytest.param(
            *("OpenAI", TOKEN),
            id="token",
        ),
    ],
)
def test_a_secret_as_the_name_of_a_variable_is_refused_without_being_shown(secret: str, value: str) -> None:
    result = outcome(extraEnv={PLANTED[secret]: value})
    assert isinstance(result, Refusal)
    assert PLANTED[secret] not in str(result)


# Rules of the servers that an argument can break


@pytest.mark.parametrize(
    ("server", "extra", "what"),
    [
        pytest.param(
            {"maxModelLen": 4096},
            "--max-input-length=1000",
            "--max-input-length cannot be combined with --max-input-tokens",
            id="two names of the longest prompt",
        ),
        pytest.param(
            {"presets": ["fp8"]},
            "--dtype=bfloat16",
            "--dtype cannot be combined with --quantize",
            id="dtype and quantize",
        ),
        pytest.param(
            {"presets": ["eetq"]}, "--dtype=float16", "--dtype cannot be combined with --quantize", id="dtype and eetq"
        ),
    ],
)
def test_an_argument_that_does_not_go_with_the_planned_ones_is_refused(
    server: dict[str, Any], extra: str, what: str
) -> None:
    problem = only_problem(server="tgi", **server, extraArgs=[extra])
    assert (problem.path, problem.what) == ("servers.gemma.extraArgs[0]", what)
    assert (problem.why, problem.fix) == ("the launcher refuses both", "keep one of them")
    plan_of(server="tgi", extraArgs=[extra])


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(["--quantize=eetq", "--dtype=float16"], id="dtype last"),
        pytest.param(["--max-input-tokens=6", "--max-input-length=5"], id="length last"),
        pytest.param(["--dtype=float16", "--quantize=eetq"], id="dtype first"),
        pytest.param(["--max-input-length=5", "--max-input-tokens=6"], id="length first"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused_in_any_order(extra: list[str]) -> None:
    assert only_problem(server="tgi", extraArgs=extra).path == "servers.gemma.extraArgs[1]"


@pytest.mark.parametrize("preset", ["bitsandbytes", "bitsandbytes-nf4", "bitsandbytes-fp4"])
def test_a_dtype_goes_with_bitsandbytes_on_tgi(preset: str) -> None:
    assert "--dtype=float16" in plan_of(server="tgi", presets=[preset], extraArgs=["--dtype=float16"]).arguments


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(["--quantize=bitsandbytes", "--dtype=float16"], id="dtype last"),
        pytest.param(
            ["--dtype=float16", "--quantize=bitsandbytes"],
            id="dtype first",
        ),
    ],
)
def test_a_dtype_goes_with_bitsandbytes_on_tgi_in_any_order(extra: list[str]) -> None:
    assert plan_of(server="tgi", extraArgs=extra).arguments[-2:] == tuple(extra)


@pytest.mark.parametrize("extra", ["--payload-limit=1", "--kv-cache-dtype=fp8_e5m2"])
def test_an_argument_is_accepted_on_a_version_in_between_if_either_neighbor_takes_it(extra: str) -> None:
    assert extra in plan_of(server="tgi", version="3.0.0", extraArgs=[extra]).arguments


def test_an_argument_that_only_the_older_neighbor_takes_may_not_stand_there_twice() -> None:
    problem = only_problem(version="0.12.0", extraArgs=["--swap-space=4", "--swap-space=8"])
    assert (problem.path, problem.what) == ("servers.gemma.extraArgs[1]", "--swap-space is listed twice")


@pytest.mark.parametrize("version", ["0.6.0"])
def test_keys_of_json_flags_are_refused_where_vllm_does_not_read_them(version: str) -> None:
    assert isinstance(outcome(version=version, extraArgs=["--allowed-origins.a=1"]), Refusal)
