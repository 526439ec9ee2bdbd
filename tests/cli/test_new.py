"""`new`: what it writes is planned, previewed and valid; what it must not do it does not."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.cli.main import main
from gke_llm_inference.settings.schema import stack_schema
from tests.cli.support import COLUMNS, PLAIN, Terminal, run
from tests.support import REPOSITORY, files_below

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

pytestmark = pytest.mark.processes

CATALOG = load_catalog()
VALIDATOR = jsonschema.Draft202012Validator(stack_schema())
SCHEMA_LINE = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")
QWEN = "Qwen/Qwen2.5-7B-Instruct"
GEMMA = "google/gemma-7b-it"


def arguments(model: str = QWEN, mode: str = "autopilot", goal: str = "cost", region: str = "us-central1") -> list[str]:
    return ["new", "--mode", mode, "--region", region, "--model", model, "--goal", goal]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory outside of any project, which the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def failing(directory: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[Sequence[str]], tuple[int, str]]:
    """The exit code and stderr of a command that must write nothing."""

    def fail(words: Sequence[str]) -> tuple[int, str]:
        before = files_below(directory)
        code = main(words)
        assert files_below(directory) == before
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return fail


def config_of(file: Path) -> Any:
    return yaml.safe_load(file.read_text())["config"]


ONE_OF_EACH_FAMILY = sorted(
    {
        facts.family: name
        for name, facts in sorted(CATALOG.models.items(), reverse=True)
        if facts.task == "generate" and not facts.experts and not facts.latent_width
    }.values()
)


@pytest.mark.parametrize("mode", ["autopilot", "standard"])
@pytest.mark.parametrize(
    ("model", "goal"), list(zip(ONE_OF_EACH_FAMILY, itertools.cycle(["cost", "latency", "throughput"]), strict=False))
)
def test_what_is_written_is_valid_and_planned(model: str, goal: str, mode: str, directory: Path) -> None:
    assert main(arguments(model, mode, goal)) == 0
    file = directory / "Pulumi.dev.yaml"
    text = file.read_text()
    line = SCHEMA_LINE.match(text)
    assert line
    assert json.loads((directory / line[1]).read_text()) == VALIDATOR.schema
    VALIDATOR.validate(yaml.safe_load(text))
    assert main(["plan", "--config-file", str(file)]) == 0
    assert CATALOG.models[model].gated is ("gke-llm-inference:huggingFace" in config_of(file))


@pytest.mark.parametrize("mode", ["autopilot", "standard"])
def test_in_a_project_it_uses_the_projects_name_and_schema_and_is_previewed(mode: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.mine.yaml"
    written = run([*arguments(GEMMA, mode), "--output", file, "--gcp-project", "acme-llm"])
    assert written.returncode == 0, written.stderr
    assert files_below(tmp_path).keys() == {"Pulumi.mine.yaml"}
    line = SCHEMA_LINE.match(file.read_text())
    assert line
    assert (tmp_path / line[1]).resolve() == REPOSITORY / "schemas" / "stack.schema.json"
    assert config_of(file)["gcp:project"] == "acme-llm"
    assert "pulumi config set --secret huggingFaceToken" in written.stdout
    assert "pulumi config set gcp:project" not in written.stdout
    previewed = run(["preview", "--config-file", file, "--json"])
    assert previewed.returncode == 0, previewed.stderr
    (server,) = json.loads(previewed.stdout)["servers"]
    assert server["model"] == GEMMA


def test_keys_have_the_name_of_the_project(directory: Path) -> None:
    (directory / "Pulumi.yaml").write_text("name: acme.llms\nruntime: python\nstackConfigDir: stacks\n")
    (directory / "__main__.py").write_text("")
    (directory / "stacks").mkdir()
    assert main(arguments()) == 0
    file = directory / "stacks" / "Pulumi.dev.yaml"
    assert {"gcp:project", "acme.llms:cluster", "acme.llms:servers"} == config_of(file).keys()
    jsonschema.validate(
        yaml.safe_load(file.read_text()), json.loads((file.parent / "gke-llm-inference.schema.json").read_text())
    )
    assert main(["plan", "--stack", "dev"]) == 0


@pytest.mark.skipif(
    not (REPOSITORY / "components" / "stack.py").exists(), reason="the program composes a stack with it"
)
def test_a_project_of_its_own_is_previewed(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(), "--project", "acme-llms"]) == 0
    assert files_below(directory).keys() == {
        "Pulumi.dev.yaml",
        "Pulumi.yaml",
        "__main__.py",
        "gke-llm-inference.schema.json",
        "requirements.txt",
    }
    steps = capsys.readouterr().out
    assert "pip install -r requirements.txt" in steps
    assert "pulumi config set gcp:project YOUR_PROJECT" in steps
    previewed = run(["preview", "--stack", "dev"], directory)
    assert previewed.returncode == 0, previewed.stderr
    assert previewed.stdout.startswith("acme-llms/dev: ")


def test_it_is_said_what_is_needed_outside_of_a_project(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments()) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a Pulumi project named gke-llm-inference is needed here: Pulumi.yaml and a program" in said
    assert "plan --config-file Pulumi.dev.yaml" in said


def test_no_file_is_replaced_unless_told(
    directory: Path, failing: Callable[[Sequence[str]], tuple[int, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    file = directory / "Pulumi.dev.yaml"
    file.write_text("mine")
    code, said = failing(arguments())
    assert code == 1
    assert said == (
        f"error: {file}: exists already, and nothing was written; choose another --name or --output, or replace with "
        "--force\n"
    )
    (directory / "Pulumi.yaml").write_text("mine as well")
    code, said = failing([*arguments(), "--project", "acme", "--name", "other"])
    assert code == 1
    assert str(directory / "Pulumi.yaml") in said
    (directory / "Pulumi.yaml").unlink()
    assert main([*arguments(), "--force"]) == 0
    assert SCHEMA_LINE.match(file.read_text())
    capsys.readouterr()
    assert not [path for path in directory.iterdir() if path.name.startswith(".")]


def schema_of(file: Path) -> Any:
    """The schema that a stack file names, which must take it."""
    line = SCHEMA_LINE.match(file.read_text())
    assert line
    schema = json.loads((file.parent / line[1]).read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(file.read_text()))
    return schema


def test_a_schema_that_says_the_same_is_kept(directory: Path) -> None:
    text = json.dumps(stack_schema())
    (directory / "gke-llm-inference.schema.json").write_text(text)
    assert main(arguments()) == 0
    assert (directory / "gke-llm-inference.schema.json").read_text() == text


@pytest.mark.parametrize("text", ["{}", '{"x": 1}', "no JSON", json.dumps(stack_schema("acme"))])
def test_another_file_in_the_schemas_place_is_refused(
    text: str, directory: Path, failing: Callable[[Sequence[str]], tuple[int, str]]
) -> None:
    schema = directory / "gke-llm-inference.schema.json"
    schema.write_text(text)
    code, said = failing(arguments())
    assert code == 1
    assert said.startswith(f"error: {schema}: exists already and is not this version's schema of gke-llm-inference's ")
    assert "nothing was written; move it away, or replace it with --force" in said
    assert main([*arguments(), "--force"]) == 0
    assert schema_of(directory / "Pulumi.dev.yaml") == stack_schema()


def test_stacks_of_two_projects_in_a_directory_have_a_schema_each(directory: Path) -> None:
    assert main(arguments()) == 0
    assert main([*arguments(), "--project", "my-llm", "--name", "two"]) == 0
    assert main([*arguments(), "--name", "three"]) == 0
    assert schema_of(directory / "Pulumi.dev.yaml") == stack_schema()
    for name in ("two", "three"):
        assert schema_of(directory / f"Pulumi.{name}.yaml") == stack_schema("my-llm")
    assert {"gke-llm-inference.schema.json", "my-llm.schema.json"} < files_below(directory).keys()


def test_the_schema_of_a_checkout_is_taken_only_if_it_is_of_the_project(directory: Path) -> None:
    (directory / "Pulumi.yaml").write_text("name: gke-llm-inference\nruntime: python\n")
    (directory / "__main__.py").write_text("")
    (directory / "schemas").mkdir()
    (directory / "schemas" / "stack.schema.json").write_text("{}")
    assert main(arguments()) == 0
    assert schema_of(directory / "Pulumi.dev.yaml") == stack_schema()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--project-dir", "typo"], "typo: no Pulumi.yaml here; name the project with --project-dir"),
        (["--project-dir", "."], ": no Pulumi.yaml here; name the project with --project-dir"),
        (["--output", "typo/Pulumi.a.yaml"], "typo: does not exist, and nothing was written; make the directory, or "),
        (["--output", "typo/typo/a.yaml"], "typo/typo: does not exist, and nothing was written; make the directory, "),
        (["--project", "acme", "--output", "typo/Pulumi.a.yaml"], "typo: does not exist, and nothing was written; "),
    ],
)
def test_a_directory_that_does_not_exist_is_not_made(
    words: list[str], message: str, failing: Callable[[Sequence[str]], tuple[int, str]]
) -> None:
    code, said = failing([*arguments(), *words])
    assert code == 1
    assert message in said


def test_a_new_project_may_have_a_new_directory(directory: Path) -> None:
    assert main([*arguments(), "--project", "acme", "--project-dir", "new/acme"]) == 0
    assert (directory / "new" / "acme" / "Pulumi.dev.yaml").exists()
    words = [*arguments(), "--project", "acme", "--project-dir", "other", "--output", "other/Pulumi.eu.yaml"]
    assert main(words) == 0
    assert (directory / "other" / "Pulumi.eu.yaml").exists()


def printed_commands(said: str) -> list[list[str]]:
    """The commands of this package and `cd` among the printed ones, as a shell takes them apart."""
    lines = [line.strip() for line in said.partition("Next:")[2].splitlines()]
    return [shlex.split(line.removeprefix("gke-llm-inference ")) for line in lines if re.match("(cd|gke-llm)", line)]


@pytest.mark.parametrize("stacks", ["", "stacks"])
@pytest.mark.parametrize("place", [".", "sub", ".."])
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--name", "four"],
        ["--output", "sub.yaml"],
        ["--name", "four", "--output", "sub.yaml"],
        ["--output", "Pulumi.four.yaml"],
        ["--output", "my stacks/Pulumi.four.yaml"],
        ["--name", "five", "--output", "my stacks/Pulumi.four.yaml"],
    ],
    ids=" ".join,
)
def test_the_commands_that_are_printed_plan_what_was_written(
    words: list[str],
    place: str,
    stacks: str,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = directory / "project"
    for one in (project / "sub", project / stacks, project / place / "my stacks"):
        one.mkdir(parents=True, exist_ok=True)
    (project / "Pulumi.yaml").write_text(f"name: acme\nruntime: python\nstackConfigDir: {stacks or '.'}\n")
    (project / "__main__.py").write_text("")
    monkeypatch.chdir(project / place)
    told = ["--project-dir", str(project)] if place == ".." else []
    assert main([*arguments(), *words, *told]) == 0
    commands = printed_commands(capsys.readouterr().out)
    (planned,) = (one for one in commands if one[0] == "plan")
    assert [one[0] for one in commands] == (["cd"] if told else []) + ["plan", "preview"]
    for command in commands:
        if command[0] == "cd":
            monkeypatch.chdir(command[1])
    assert main([*planned, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["servers"]) == ["qwen2-5-7b-instruct"]


def test_a_file_for_a_project_elsewhere_has_its_keys(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "acme").mkdir()
    (directory / "acme" / "Pulumi.yaml").write_text("name: acme\nruntime: python\n")
    (directory / "acme" / "__main__.py").write_text("")
    assert main([*arguments(), "--output", "acme/Pulumi.dev.yaml"]) == 0
    assert "acme:servers" in config_of(directory / "acme" / "Pulumi.dev.yaml")
    assert schema_of(directory / "acme" / "Pulumi.dev.yaml") == stack_schema("acme")
    said = capsys.readouterr().out
    assert printed_commands(said) == [["cd", "acme"], ["plan", "--stack", "dev"], ["preview", "--stack", "dev"]]


def test_a_directory_that_cannot_be_written_is_said(failing: Callable[[Sequence[str]], tuple[int, str]]) -> None:
    Path("file").write_text("")
    code, said = failing([*arguments(), "--output", "file/Pulumi.x.yaml"])
    assert code == 1
    assert said.startswith("error: ")
    assert "cannot be written" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new"], "error: add --mode, --region, --model, --goal: this is not a terminal"),
        (["new", "--mode", "autopilot", "--model", QWEN], "error: add --region, --goal: this is not a terminal"),
        (arguments(mode="standrd"), "error: 'standrd' is not a mode; did you mean standard?"),
        (arguments(goal="costs"), "error: 'costs' is not a goal; did you mean cost?"),
        (arguments(region="us-cental1"), "nvidia-l4 is not offered in 'us-cental1'; did you mean us-central1?"),
        (arguments(model="google/gemma-7b-itt"), "did you mean google/gemma-7b-it?"),
        (arguments(model="acme/own"), "write servers.NAME.configFile (its config.json) or servers.NAME.architecture"),
        ([*arguments(), "--accelerator", "nvidia-l5"], "error: 'nvidia-l5' is not a GPU; did you mean nvidia-l4?"),
        ([*arguments(), "--set", "maxModelLen"], "error: --set 'maxModelLen' is not KEY=VALUE"),
        ([*arguments(), "--name", "a b"], "error: 'a b' is not a valid stack name"),
        ([*arguments(), "--project", "a b"], "error: --project 'a b' is not a valid project name"),
        ([*arguments(), "--server", "sglang"], "error: invalid value for '--server'"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_usage(words: list[str], message: str, failing: Callable[[Sequence[str]], tuple[int, str]]) -> None:
    code, said = failing(words)
    assert code == 2
    assert message in said


def test_what_does_not_fit_is_refused_with_options_that_make_it_fit(
    directory: Path, failing: Callable[[Sequence[str]], tuple[int, str]]
) -> None:
    code, said = failing(arguments(GEMMA, goal="none"))
    assert code == 1
    assert said.startswith("error: the configuration has 1 problem:\nservers.gemma-7b-it: does not fit 1 × nvidia-l4\n")
    assert "fix: FP8 weights, quantized on load: --set quantization=fp8; or " in said
    assert main([*arguments(GEMMA, goal="none"), "--set", "quantization=fp8"]) == 0
    server = config_of(directory / "Pulumi.dev.yaml")["gke-llm-inference:servers"]["gemma-7b-it"]
    assert server["quantization"] == "fp8"


def test_a_setting_that_is_not_known_is_refused(failing: Callable[[Sequence[str]], tuple[int, str]]) -> None:
    code, said = failing([*arguments(), "--set", "maxModelLength=4096"])
    assert code == 1
    assert "servers.qwen2-5-7b-instruct.maxModelLength: is not a known key" in said
    assert "did you mean maxModelLen?" in said


def test_a_model_with_numbers_of_its_own_needs_no_catalog(directory: Path) -> None:
    (directory / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "num_hidden_layers": 16,
                "hidden_size": 2048,
                "intermediate_size": 8192,
                "num_attention_heads": 32,
                "num_key_value_heads": 8,
                "head_dim": 64,
                "vocab_size": 128256,
                "max_position_embeddings": 8192,
                "tie_word_embeddings": True,
                "torch_dtype": "bfloat16",
            }
        )
    )
    assert main([*arguments("acme/own"), "--set", "configFile=config.json"]) == 0
    assert main(["plan", "--config-file", "Pulumi.dev.yaml"]) == 0


def test_a_node_pool_has_the_gpus_that_the_server_needs(directory: Path) -> None:
    assert main(arguments("google/gemma-3-27b-it", mode="standard", region="europe-west4")) == 0
    config = config_of(directory / "Pulumi.dev.yaml")
    assert config["gke-llm-inference:cluster"] == {"mode": "standard", "location": "europe-west4"}
    assert config["gke-llm-inference:nodePools"] == {"l4-x2": {"accelerator": {"type": "nvidia-l4", "count": 2}}}


# On a terminal


def test_on_a_terminal_it_asks_and_shows_the_plan_as_it_becomes(tmp_path: Path) -> None:
    terminal = Terminal(["new"], tmp_path, PLAIN)
    terminal.answer("Mode [autopilot", "")
    terminal.answer("Region [us-central1", "us-cental1")
    assert "did you mean us-central1?" in terminal.answer("Region [us-central1", "")
    terminal.answer("Google Cloud project [my-project", "acme-llm")
    models = terminal.answer(f"Model [{QWEN}", GEMMA)
    assert [name for name, facts in CATALOG.models.items() if (name in models) != (facts.task == "generate")] == []
    unfit = terminal.answer("Goal [cost", "none")
    assert "usable: does not fit" in unfit
    assert "at least 623 USD a month" in unfit
    proposed = terminal.answer("Number of a change, or another model [1", "99")
    assert "  1  FP8 weights, quantized on load: fits" in proposed
    assert "use a number from 1 to 6" in terminal.answer("Number of a change, or another model [1", "1")
    code, shown = terminal.ended()
    assert code == 0
    assert "usable: fits" in shown
    assert "wrote Pulumi.dev.yaml" in shown
    everything = "\n".join([models, unfit, proposed, shown]).replace("\r", "")
    assert max(map(len, everything.splitlines())) <= COLUMNS
    config = config_of(tmp_path / "Pulumi.dev.yaml")
    assert config["gcp:project"] == "acme-llm"
    assert config["gke-llm-inference:servers"]["gemma-7b-it"]["quantization"] == "fp8"
    assert main(["plan", "--config-file", str(tmp_path / "Pulumi.dev.yaml")]) == 0


def test_on_a_terminal_only_what_is_missing_is_asked(tmp_path: Path) -> None:
    terminal = Terminal(
        ["new", "--mode", "standard", "--region", "us-east4", "--model", QWEN, "--gcp-project", "acme-llm"], tmp_path
    )
    assert "Mode [" not in terminal.answer("Goal [cost", "latency")
    assert terminal.ended()[0] == 0
    terminal = Terminal([*arguments(), "--name", "other"], tmp_path)
    code, shown = terminal.ended()
    assert (code, "]: " in shown) == (0, False)


def test_another_model_may_be_named_instead(tmp_path: Path) -> None:
    terminal = Terminal(arguments(GEMMA, goal="none"), tmp_path)
    terminal.answer("Number of a change, or another model [1", QWEN)
    assert terminal.ended()[0] == 0
    assert list(config_of(tmp_path / "Pulumi.dev.yaml")["gke-llm-inference:servers"]) == ["qwen2-5-7b-instruct"]


def test_what_no_change_mends_ends_the_questions(tmp_path: Path) -> None:
    terminal = Terminal(["new", "--set", "maxModelLength=4096"], tmp_path, PLAIN)
    terminal.answer("Mode [autopilot", "")
    terminal.answer("Region [us-central1", "")
    terminal.answer("Google Cloud project [my-project", "My Project")
    assert "'My Project' is not a project id: " in terminal.answer("Google Cloud project [my-project", "acme-llm")
    terminal.answer(f"Model [{QWEN}", "")
    terminal.answer("Goal [cost", "")
    code, shown = terminal.ended()
    assert code == 1
    assert "did you mean maxModelLen?" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["interrupt", "end of input", "terminated"])
def test_whoever_stops_answering_leaves_nothing(way: str, tmp_path: Path) -> None:
    terminal = Terminal(["new"], tmp_path, cold=True)
    terminal.answer("Mode [autopilot", "")
    terminal.expect_exact("Region [us-central1]: ")
    match way:
        case "interrupt":
            terminal.sendintr()
        case "end of input":
            terminal.sendeof()
        case _:
            terminal.kill(signal.SIGTERM)
    code, shown = terminal.ended()
    assert code == (128 + signal.SIGTERM if way == "terminated" else 130)
    assert ("interrupted" in shown) is (way != "terminated")
    assert list(tmp_path.iterdir()) == []
