"""The extractor reads every way in which vLLM builds its parser, and refuses what it can't read."""

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tools import packages
from tools import extract_vllm_flags
from tools.package_source import UnreadableError

CLI_ARGS = "vllm/entrypoints/openai/cli_args.py"
LAST_ARGUMENT = 'parser.add_argument("--spec", type=json.loads, default=None)'


def flags_of(directory: Path) -> dict[str, dict[str, Any]]:
    extraction = extract_vllm_flags.read(directory, "9.9.9")
    assert not extraction.problems
    return extraction.flags


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return flags_of(packages.write(tmp_path_factory.mktemp("package")))


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (
            "--level",
            {"type": "text", "choices": ["debug", "info"], "default": "info", "aliases": ["--log-level", "-l"]},
        ),
        ("--cert-reqs", {"type": "integer", "default": 0}),
        ("--hook", {"type": "list", "items": "text", "repeats": True, "default": []}),
        ("--enable-lora", {"type": "boolean", "negated": ["--disable-lora", "--no-enable-lora"]}),
        ("--old", {"type": "integer", "deprecated": "Does nothing."}),
        ("--spec", {"type": "json"}),
        ("--disable-log-requests", {"type": "boolean", "default": False}),
        ("--origins", {"type": "json", "default": ["*"]}),
        ("--modules", {"type": "list", "items": "text", "optional": True, "form": "module"}),
        ("--port", {"type": "integer", "default": 8000}),
        # Computed from the environment: no default is stated.
        ("--log-file", {"type": "text", "optional": True}),
        (
            "--tool-call-parser",
            {"type": "text", "choices": ["hermes", "mistral", "nous"], "optional": True, "plugins": True},
        ),
        ("--model", {"type": "text", "default": "some/model"}),
        (
            "--quantization",
            {"type": "text", "choices": ["awq", "gptq"], "optional": True, "plugins": True, "aliases": ["-q"]},
        ),
        ("--share", {"type": "number", "default": 0.9}),
        ("--max-model-len", {"type": "integer", "suffixes": "Kk", "words": ["auto"], "optional": True}),
        (
            "--size",
            {"type": "integer", "choices": [8, 16], "optional": True, "deprecated": "[DEPRECATED] Use --other."},
        ),
        ("--levels", {"type": "text", "choices": ["hidden", "high", "low"], "default": "low"}),
        ("--other-levels", {"type": "text", "choices": ["high", "low"]}),
        ("--parts", {"type": "list", "items": "integer", "choices": [8, 16], "default": [8]}),
        ("--names", {"type": "list", "items": "text", "optional": True}),
        ("--caching", {"type": "boolean", "negated": ["--no-caching"]}),
        ("--token", {"type": "text", "value": "optional"}),
        ("--inner", {"type": "json", "jsonObject": True}),
        ("--more", {"type": "json", "default": {}}),
        ("--dtype", {"type": "text", "default": "auto"}),
        ("--mode", {"type": "text", "known": ["auto", "slow"], "default": "auto"}),
        ("--backend", {"type": "text", "choices": ["FAST_ONE", "SLOW"], "optional": True, "anyCase": True}),
    ],
)
def test_every_construct(flags: dict[str, dict[str, Any]], flag: str, expected: dict[str, Any]) -> None:
    assert flags[flag] == expected


def test_nothing_else_is_a_flag(flags: dict[str, dict[str, Any]]) -> None:
    assert len(flags) == 28
    assert list(flags) == sorted(flags)


def test_the_package_is_not_imported(tmp_path: Path) -> None:
    marker = tmp_path / "imported"
    changes = {"vllm/__init__.py": f"open({str(marker)!r}, 'w')", "vllm/outer.py": "raise SystemExit"}
    flags_of(packages.write(tmp_path / "package", changes))
    assert not marker.exists()
    assert "vllm" not in sys.modules


def test_old_scripts_until_they_parse(tmp_path: Path) -> None:
    scripts = """
        from vllm.entrypoints.openai.cli_args import make_arg_parser
        from vllm.utils import FlexibleArgumentParser

        def main():
            parser = FlexibleArgumentParser(description="vLLM CLI")
            subparsers = parser.add_subparsers(required=True)
            serve_parser = subparsers.add_parser("serve")
            serve_parser.add_argument("--config", type=str, required=False, default="")
            serve_parser = make_arg_parser(serve_parser)
            chat_parser = subparsers.add_parser("chat")
            chat_parser.add_argument("--url")
            args = parser.parse_args()
            args.dispatch_function(args)
    """
    directory = packages.write(tmp_path, {"vllm/scripts.py": scripts})
    (directory / "vllm/entrypoints/cli/serve.py").unlink()
    flags = flags_of(directory)
    assert flags["--config"] == {"type": "text", "default": ""}
    assert "--port" in flags
    assert "--url" not in flags


def test_a_wheel_reads_like_a_directory(tmp_path: Path, flags: dict[str, dict[str, Any]]) -> None:
    directory = packages.write(tmp_path / "package")
    wheel = tmp_path / "vllm-9.9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(directory).as_posix())
    assert extract_vllm_flags.read(wheel, "9.9.9").flags == flags
    assert extract_vllm_flags.wheel_of("9.9.9", tmp_path) == wheel


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ('parser.add_argument("--odd", type=lambda s: s.split())', "its type is the function lambda s: s.split()"),
        ('parser.add_argument("--odd", type=make_arg_parser)', "its type is the function make_arg_parser"),
        ('parser.add_argument("--odd", type=envs.VLLM_TYPE)', "its type is vllm.envs.VLLM_TYPE"),
        ('parser.add_argument("--odd", choices=envs.VLLM_NAMES)', "its choices are vllm.envs.VLLM_NAMES"),
        ('parser.add_argument("--odd", choices=["a", envs.VLLM_NAME])', "one of its choices is vllm.envs.VLLM_NAME"),
        ('parser.add_argument("--odd", action="count")', "its action 'count'"),
        ('parser.add_argument("--odd", action=AsyncEngineArgs)', "its action vllm.engine.arg_utils.AsyncEngineArgs"),
        ('parser.add_argument("--odd", nargs="...")', "nargs='...'"),
        ('parser.add_argument("--odd", type=complex)', "its type is"),
    ],
)
def test_a_flag_that_is_not_clear_is_reported_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], added: str, problem: str
) -> None:
    directory = packages.write(tmp_path / "package", {CLI_ARGS: (LAST_ARGUMENT, added)})
    target = tmp_path / "flags.yaml"
    arguments = ["9.9.9", "--wheel", str(directory), "--date", "2026-11-22", "--out", str(target)]
    assert extract_vllm_flags.main(arguments) == 1
    output = capsys.readouterr().err
    assert "nothing written, 1 flags are unclear" in output
    assert f"--odd: {problem}" in output
    assert not target.exists()


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ('if envs.VLLM_DEV: parser.add_argument("--dev")', "a condition depends on vllm.envs.VLLM_DEV"),
        ("for name in envs.VLLM_FLAGS: parser.add_argument(name)", "a loop goes over vllm.envs.VLLM_FLAGS"),
        ("elsewhere.add_flags(parser)", "gets the parser, and can't be read"),
        ('parser.add_argument("--odd", **elsewhere.keywords)', "the keywords elsewhere.keywords depend on"),
        ("parser.parse_known_args()", "Recorder"),
        ("raise ValueError('no')", "the code raises ValueError('no')"),
        ("while True: pass", "a While statement isn't read by this tool"),
    ],
)
def test_code_that_the_source_alone_does_not_decide_is_refused(tmp_path: Path, added: str, message: str) -> None:
    directory = packages.write(tmp_path, {CLI_ARGS: (LAST_ARGUMENT, added)})
    with pytest.raises(UnreadableError) as refusal:
        extract_vllm_flags.read(directory, "9.9.9")
    assert message in str(refusal.value)
    assert CLI_ARGS in str(refusal.value)


def test_an_action_in_the_place_of_booleans_must_be_known(tmp_path: Path) -> None:
    change = ("BooleanOptionalAction, EnableDisableAction)", "BooleanOptionalAction, NewAction)")
    directory = packages.write(tmp_path, {"vllm/utils/argparse_utils.py": change})
    problems = extract_vllm_flags.read(directory, "9.9.9").problems
    assert {problem.flag for problem in problems} == {"--caching", "--enable-lora"}
    assert "replaces BooleanOptionalAction by NewAction" in problems[0].text


@pytest.mark.parametrize(
    ("version", "location", "message"),
    [("1.0.0", "package", "is version 9.9.9"), ("9.9.9", "nowhere", "there is no")],
)
def test_the_version_must_be_the_one_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, location: str, message: str
) -> None:
    packages.write(tmp_path / "package")
    assert extract_vllm_flags.main([version, "--wheel", str(tmp_path / location), "--date", "2026-11-22"]) == 1
    assert message in capsys.readouterr().err


def test_a_package_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("")
    with pytest.raises(UnreadableError, match="has none of"):
        extract_vllm_flags.read(tmp_path, "9.9.9")


def test_the_file_is_the_same_each_time_and_says_how_to_make_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = packages.write(tmp_path / "package")
    texts = []
    for name in ("first.yaml", "second.yaml"):
        target = tmp_path / name
        arguments = ["9.9.9", "--wheel", str(directory), "--date", "2026-11-22", "--out", str(target)]
        assert extract_vllm_flags.main(arguments) == 0
        texts.append(target.read_bytes())
    assert texts[0] == texts[1]
    assert "28 flags (" in capsys.readouterr().out
    assert texts[0].startswith(b"# Made by `python -m tools.extract_vllm_flags 9.9.9 --date 2026-11-22`")
    assert list(yaml.safe_load(texts[0])) == ["server", "version", "source", "date", "flags"]


@pytest.mark.parametrize("date", ["yesterday", "22.11.2026", "2026-13-01"])
def test_the_date_is_checked(date: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        extract_vllm_flags.main(["9.9.9", "--date", date])
    assert "is not a date like" in capsys.readouterr().err


def test_a_download_that_fails_says_what_pip_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found for vllm' >&2\nexit 1\n")
    pip.chmod(0o755)
    monkeypatch.setattr(extract_vllm_flags, "_pip", lambda: [str(pip)])
    assert extract_vllm_flags.main(["9.9.9", "--date", "2026-11-22"]) == 1
    assert "pip can't download it: ERROR: No matching distribution found for vllm" in capsys.readouterr().err


def test_a_download_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = tmp_path / "pip"
    pip.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --dest ]; do case "$1" in --no-deps) ok=1;; esac; shift; done\n'
        '[ "$ok" ] && touch "$2/vllm-9.9.9-cp38-abi3-any.whl"\n'
    )
    pip.chmod(0o755)
    monkeypatch.setattr(extract_vllm_flags, "_pip", lambda: [str(pip)])
    kept = extract_vllm_flags.wheel_of("9.9.9", tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["vllm-9.9.9-cp38-abi3-any.whl"]
    pip.write_text("#!/bin/sh\nexit 1\n")
    assert extract_vllm_flags.wheel_of("9.9.9", tmp_path / "cache") == kept
