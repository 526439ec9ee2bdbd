"""The base file: settings that several stacks share, named by each of them under the key `base`."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from gke_llm_inference.errors import ConfigError
from gke_llm_inference.pulumi_project.yaml_files import read_mapping
from gke_llm_inference.settings.annotations import fields_of
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.parse import leaked_secrets, suggestion, with_text_keys
from gke_llm_inference.settings.pulumi_keys import BASE_KEY, PROJECT, TOKEN_KEY
from gke_llm_inference.settings.stack import StackSettings


def read_base(name: Any, directory: Path) -> dict[str, Any]:
    """The values of a base file, by key.

    Args:
        name: path of the file as the stack gives it, from the project's directory.
        directory: the project's directory; nothing outside it is read.

    Raises:
        Refusal: with every problem of the path, or of what is in the file; settings themselves are not checked yet.

    """
    path = _path(name, directory)
    try:
        content = with_text_keys(read_mapping(path))
    except ConfigError as error:
        raise Refusal(
            [
                Finding(
                    path=BASE_KEY,
                    what=str(error).replace(str(path), str(name)),
                    why="the stack's settings are merged over those of that file",
                    fix="correct the file, or remove the key",
                )
            ]
        ) from None
    problems = [
        Finding(path=found.path, what=found.what, why=found.why, fix=found.fix, file=str(name))
        for found in (*_misplaced_keys(content), *_secrets(content), *leaked_secrets(content))
    ]
    if problems:
        raise Refusal(problems)
    return dict(content)


def _path(name: Any, directory: Path) -> Path:
    if not isinstance(name, str) or not name:
        raise _refused("is not a path", "it names the base file", "write a path like stack-base.yaml")
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or ":" in name:
        raise _refused(
            "leads out of the project",
            "a stack must mean the same wherever the project is checked out",
            "write a path below the project's directory, with / between its parts and without ..",
        )
    path = directory / parts
    if not path.resolve().is_relative_to(directory.resolve()):
        raise _refused(
            "is a link that leads out of the project",
            "a stack must mean the same wherever the project is checked out",
            "put the file itself into the project",
        )
    return path


def _refused(what: str, why: str, fix: str) -> Refusal:
    return Refusal([Finding(path=BASE_KEY, what=what, why=why, fix=fix)])


def _misplaced_keys(content: Mapping[str, Any]) -> Iterator[Finding]:
    known = list(fields_of(StackSettings))
    for key in sorted(content):
        namespace, colon, short = key.rpartition(":")
        if key == "config":
            fix = f"write the settings at the top level, without config: and without {PROJECT}:"
            yield Finding(path=key, what="is not a key of a base file", why="only a stack's own file has it", fix=fix)
        elif colon and short in known:
            fix = f"write {short}"
            yield Finding(
                path=key, what="has a namespace", why="all keys of a base file are settings of this project", fix=fix
            )
        elif colon:
            yield Finding(
                path=key,
                what=f"belongs to {namespace}, not to this project",
                why="Pulumi and its providers read it themselves, and they read stack files only",
                fix="move it to the stacks' files, or to config: of Pulumi.yaml",
            )
        elif key == TOKEN_KEY:
            yield Finding(
                path=key,
                what="is in a base file",
                why="the token is encrypted with a stack's own key, and every stack should have a token of its own",
                fix=f"remove it, then for each stack: pulumi config set --secret {TOKEN_KEY}",
            )
        elif key == BASE_KEY:
            yield Finding(
                path=key,
                what="is in a base file",
                why="a base has no base of its own, so that a value is in one of two places",
                fix="write the settings into this file",
            )
        elif key not in known:
            yield Finding(
                path=key,
                what="is not a known key",
                why="a misspelled key would be ignored silently",
                fix=suggestion(key, known),
            )


def _secrets(value: Any, path: str = "") -> Iterator[Finding]:
    """A problem for everything that has the form of an encrypted value."""
    if isinstance(value, Mapping):
        if "secure" in value and path != TOKEN_KEY:
            yield Finding(
                path=path or "secure",
                what="holds an encrypted value",
                why=f"a base file is plain data that several stacks read; only {TOKEN_KEY} is secret, "
                "in each stack's file",
                fix="move the secret out of it",
            )
            return
        for key, item in value.items():
            yield from _secrets(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _secrets(item, f"{path}[{index}]")
