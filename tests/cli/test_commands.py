"""Every subcommand as a user runs it: exit codes, where messages go, names that are nearly right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gke_llm_inference.cli.main import app, main
from gke_llm_inference.policy.registry import POLICIES
from tests.cli.support import COLUMNS, PLAIN, Terminal, environment, run
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUBCOMMANDS = (
    ["preview"],
    ["diff"],
    ["plan"],
    ["models"],
    ["settings"],
    ["settings", "effective"],
    ["settings", "security"],
    ["settings", "schema"],
    ["policy"],
    ["new"],
)
WRONG = """\
config:
  gcp:project: my-project
  gke-llm-inference:cluster: {mode: autopilot, location: us-central1}
  gke-llm-inference:servers:
    qwen: {server: vllm, model: Qwen/Qwen2.5-7B-Instruct, maxModelLength: 4096}
"""
REFUSAL = """\
error: the configuration has 1 problem:
servers.qwen.maxModelLength: is not a known key
  why: a misspelled key would be ignored silently
  fix: did you mean maxModelLen?
"""


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    file = tmp_path / "Pulumi.wrong.yaml"
    file.write_text(WRONG)
    return file


@pytest.mark.parametrize("subcommand", SUBCOMMANDS, ids=" ".join)
def test_help_fits_a_terminal_and_has_no_colors(subcommand: list[str]) -> None:
    result = CliRunner().invoke(app, [*subcommand, "--help"], env={"FORCE_COLOR": "1", "GITHUB_ACTIONS": "true"})
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= COLUMNS


@pytest.mark.parametrize(
    "arguments",
    [
        ["preview", "--stack", "dev", "--json"],
        ["plan", "--stack", "dev", "--json"],
        ["models", "--json"],
        ["settings", "effective", "--stack", "dev", "--json"],
        ["settings", "schema"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_document_is_all_of_stdout(arguments: list[str]) -> None:
    ended = run(arguments)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)


@pytest.mark.parametrize("command", ["preview", "plan", "policy", "settings effective"])
def test_a_refusal_reads_the_same_in_every_command(command: str, wrong: Path) -> None:
    ended = run([*command.split(), "--config-file", wrong])
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == REFUSAL


@pytest.mark.parametrize("command", ["preview", "plan", "policy", "settings effective"])
def test_a_stack_that_does_not_exist_is_said_the_same_in_every_command(command: str) -> None:
    ended = run([*command.split(), "--stack", "prd"])
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: there is no stack 'prd': ")
    assert ended.stderr.endswith("; did you mean 'prod'?\nstacks here: dev, local, prod, staging\n")


@pytest.mark.parametrize("command", ["preview", "plan", "policy", "settings effective"])
def test_no_stack_is_a_matter_of_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: name a stack with --stack or its file with --config-file\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plann"], "error: no such command 'plann'; did you mean 'plan'?"),
        (["settings", "efective"], "error: no such command 'efective'; did you mean 'effective'?"),
        (["plan", "--stak", "dev"], "error: no such option: --stak; did you mean --stack?"),
        (["preview", "--polcy-config", "x"], "error: no such option: --polcy-config; did you mean --policy-config?"),
        (["diff", "--bas", "main"], "error: no such option: --bas; did you mean --base?"),
        (["models", "--accelerator", "nvidia-l5"], "is not a GPU of the catalog; did you mean nvidia-l4?"),
        (["models", "--count", "3"], "error: --count 3: use one of 1, 2, 4, 8"),
        (["diff", "--format", "html"], "error: invalid value for '--format'"),
        (
            ["diff", "--format", "jso"],
            "error: invalid value for '--format': 'jso' is not one of text, markdown, json; did you mean json?",
        ),
        (
            ["new", "--server", "vlm"],
            "error: invalid value for '--server': 'vlm' is not one of vllm, tgi; did you mean vllm?",
        ),
        (["new", "--server", "x"], "error: invalid value for '--server': 'x' is not one of vllm, tgi\nsee "),
        (["models", "--count", "x"], "error: invalid value for '--count': 'x' is not a whole number\nsee "),
        (["models", "--count", "1.5"], "error: invalid value for '--count': '1.5' is not a whole number\nsee "),
        (["models", "--count", ""], "error: invalid value for '--count': '' is not a whole number\nsee "),
        (["diff", "--timeout", "soon"], "error: invalid value for '--timeout': 'soon' is not a number\nsee "),
        (["preview", "-stack", "dev"], "error: no such option: -stack; did you mean --stack?"),
        (["preview", "-stack=dev"], "error: no such option: -stack; did you mean --stack?"),
        (["plan", "--json", "-config-fil", "x"], "error: no such option: -config-fil; did you mean --config-file?"),
        (["plan", "-h"], "error: no such option: -h; did you mean --help?"),
        (["plan", "-q"], "error: no such option: -q\nsee "),
        (["-version"], "error: no such option: -version; did you mean --version?"),
        (["plan", "--stack"], "error: option '--stack' requires an argument"),
        (["settings", "security", "--stack", "prod"], "error: missing option '--at-least'"),
        (["plan", "extra"], "error: got unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_names_the_nearest_and_exits_with_two(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert not re.search(r"Value error|Input should|parse string|argument\(s\)", result.stderr)


def subcommands(group: object = None) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Every subcommand that runs something, and its parameters' spellings by name."""
    for name, one in (group or get_command(app)).commands.items():  # type: ignore[attr-defined]
        if hasattr(one, "commands"):
            yield from ((f"{name} {inner}", options) for inner, options in subcommands(one))
        else:
            yield name, {parameter.name: parameter.opts for parameter in one.params}


def test_every_subcommand_takes_the_projects_directory() -> None:
    found = dict(subcommands())
    assert len(found) >= 10
    assert {name for name, options in found.items() if "--project-dir" not in options.get("project_dir", [])} == set()


def test_models_of_a_project_elsewhere_are_those_of_the_catalog(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["models", "--project-dir", str(tmp_path), "--json"])
    assert (told.exit_code, told.stdout) == (0, CliRunner().invoke(app, ["models", "--json"]).stdout)


def test_the_readme_has_every_subcommand() -> None:
    section = (REPOSITORY / "README.md").read_text("utf-8").partition("\n## One command\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z]+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted({name.partition(" ")[0] for name, _ in subcommands()})


def test_without_a_subcommand_the_help_goes_to_stderr() -> None:
    result = CliRunner().invoke(app, [])
    assert (result.exit_code, result.stdout) == (2, "")
    for subcommand in SUBCOMMANDS:
        assert f"  {subcommand[0]} " in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["preview", "--stack", "dev"],
        ["plan", "--stack", "dev"],
        ["settings", "effective", "--stack", "dev"],
        ["settings", "security", "--stack", "prod", "--at-least", "staging"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_every_command_reads_the_project_that_it_is_told(arguments: list[str], tmp_path: Path) -> None:
    elsewhere = run(arguments, tmp_path)
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
    assert elsewhere.stderr.startswith(f"error: {tmp_path}: no Pulumi.yaml here or in a directory above; ")
    told = run([*arguments, "--project-dir", REPOSITORY], tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout == run(arguments).stdout


def test_a_stack_file_outside_of_any_project_is_planned(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text(WRONG.replace("maxModelLength", "maxModelLen"))
    planned = run(["plan", "--config-file", file, "--json"], tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["servers"]["qwen"]["verdict"] == "fits"
    assert run(["settings", "effective", "--config-file", file.name], tmp_path).returncode == 0
    previewed = run(["preview", "--config-file", file], tmp_path)
    assert (previewed.returncode, previewed.stdout) == (1, "")
    assert "new --project NAME' writes one" in previewed.stderr


def test_a_stack_file_of_a_project_elsewhere_is_read_with_that_project(tmp_path: Path) -> None:
    ended = run(["settings", "effective", "--config-file", REPOSITORY / "Pulumi.prod.yaml"], tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == run(["settings", "effective", "--stack", "prod"]).stdout


def test_off_a_terminal_nothing_is_colored(wrong: Path) -> None:
    variables = dict.fromkeys(("FORCE_COLOR", "GITHUB_ACTIONS", "TTY_COMPATIBLE"), "1")
    for arguments in (["plan", "--stack", "dev"], ["models"], ["plan", "--config-file", str(wrong)], ["plann"]):
        ended = run(arguments, variables=variables, cold=True)
        assert "\x1b" not in ended.stdout + ended.stderr


def test_a_terminal_has_colors_unless_it_wants_none() -> None:
    for variable, colored in (("TERM=xterm", True), ("NO_COLOR=1", False), ("TERM=dumb", False)):
        name, _, value = variable.partition("=")
        code, shown = Terminal(["plann"], variables={name: value}).ended()
        assert code == 2
        assert ("\x1b[" in shown) is colored
        assert "no such command 'plann'" in shown


def test_a_terminal_wraps_errors_below_their_first_word() -> None:
    code, shown = Terminal(["settings", "security", "--stack", "dev", "--at-least", "prod"], variables=PLAIN).ended()
    assert code == 1
    assert max(map(len, shown.splitlines())) <= COLUMNS
    assert "\n  why: from weak to strong: " in shown


def test_text_for_an_encoding_without_the_signs_is_plain() -> None:
    ended = run(["plan", "--stack", "dev"], variables={"PYTHONIOENCODING": "ascii"}, cold=True)
    assert ended.returncode == 0
    assert ended.stdout.isascii()
    assert "[########" in ended.stdout
    assert "1 x nvidia-l4" in ended.stdout


@pytest.mark.parametrize("arguments", [["models"], ["settings", "schema"], ["plan", "--stack", "prod"]])
def test_a_reader_that_goes_early_is_not_told_off(arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gke_llm_inference", *arguments],
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(30) == 1


def test_a_plan_loads_neither_pulumi_nor_what_draws_tables_nor_what_simulates_loads() -> None:
    names = (
        "pulumi",
        "grpc",
        "rich",
        "gke_llm_inference.planning.performance.simulation",
        "gke_llm_inference.settings.descriptions",
    )
    program = (
        "import sys; from gke_llm_inference.cli.main import main; code = main(['plan', '--stack', 'dev']); "
        f"print([name for name in {names} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "[]\n")


def test_help_and_usage_load_no_part_that_plans() -> None:
    program = (
        "import sys; from gke_llm_inference.cli.main import main; main(['new', '--help']); main(['plann']); "
        "names = ('yaml', 'gke_llm_inference.planning', 'rich'); "
        "print([name for name in names if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_policies_are_those_of_a_preview(tmp_path: Path) -> None:
    project = ["--project-dir", str(REPOSITORY)]
    alone = run(["policy", "--stack", "prod", *project], tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.startswith(f"Policies: {len(POLICIES)} checked with the levels of prod, ")
    preview = run(["preview", "--stack", "prod", *project, "--policy", "--json"], tmp_path)
    document = run(["policy", "--stack", "prod", *project, "--json"], tmp_path)
    assert document.stdout == preview.stdout
    assert json.loads(document.stdout)["policies"]["environment"] == "prod"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gke-llm-inference pl", ["plan"]),
        ("gke-llm-inference plan --stack ", ["dev", "local", "prod", "staging"]),
        ("gke-llm-inference preview --stack s", ["staging"]),
        (f"gke-llm-inference plan --project-dir {REPOSITORY} --stack p", ["prod"]),
        ("gke-llm-inference plan --project-dir /nowhere --stack ", []),
        ("gke-llm-inference models --accelerator nvidia-l", ["nvidia-l4"]),
        ("gke-llm-inference new --model tiiuae/", ["tiiuae/falcon-40b-instruct"]),
        ("gke-llm-inference new --goal ", ["cost", "latency", "throughput"]),
        ("gke-llm-inference new --region europe-west1", ["europe-west1", "europe-west10"]),
        ("gke-llm-inference new --mode a", ["autopilot"]),
    ],
)
def test_a_shell_completes(words: str, expected: list[str]) -> None:
    variables = {
        "_GKE_LLM_INFERENCE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    result = CliRunner().invoke(app, [], prog_name="gke-llm-inference", env=variables)
    assert result.stdout.split() == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_is_for_the_command_by_its_name_however_it_was_started(shell: str) -> None:
    script = run(["--show-completion", shell], cold=True)
    assert (script.returncode, script.stderr) == (0, "")
    assert "python" not in script.stdout.casefold()
    assert "gke-llm-inference" in script.stdout
    variable = "_GKE_LLM_INFERENCE_COMPLETE"
    assert set(re.findall(r"\w+_COMPLETE\b", script.stdout)) == {variable}
    asked = {"COMP_WORDS": "gke-llm-inference pl", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "gke-llm-inference pl"}
    completed = run([], variables={variable: "complete_bash", **asked}, cold=True)
    assert completed.stdout.split() == ["plan"]
