"""The files that `new` writes: all of them or none, and none that exists unless told."""

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gke_llm_inference.errors import ConfigError
from gke_llm_inference.preview.errors import OutputError
from gke_llm_inference.version import __version__

_PROGRAM = '''\
"""The stack: its Pulumi.<stack>.yaml, planned and registered."""

import pulumi
from gke_llm_inference.components import create_stack, read_stack, settle

configured = read_stack()
stack = create_stack(configured.plan, token=configured.token)
for name, value in stack.outputs.items():
    pulumi.export(name, value)

pulumi.run(settle)
'''


def project_files(directory: Path, name: str) -> dict[Path, str]:
    """A Pulumi project whose program deploys any stack file of this package."""
    return {
        directory / "Pulumi.yaml": (
            f"name: {name}\ndescription: Open LLMs on GKE\n"
            "runtime:\n  name: python\n  options:\n    toolchain: pip\n    virtualenv: .venv\n"
        ),
        directory / "__main__.py": _PROGRAM,
        directory / "requirements.txt": f"gke-llm-inference=={__version__}\n",
    }


def refuse_existing(paths: Mapping[Path, str] | list[Path]) -> None:
    """Raises ConfigError if a file is there already."""
    existing = [str(path) for path in paths if os.path.lexists(path)]
    if existing:
        verb = "exists" if len(existing) == 1 else "exist"
        raise ConfigError(
            f"{', '.join(existing)}: {verb} already, and nothing was written; choose another --name or --output, or "
            "replace with --force"
        )


def refuse_missing_directory(file: Path, made: Path | None) -> None:
    """Raises ConfigError if a file's directory does not exist and is not the one that will be `made`.

    Its path may be misspelled.
    """
    directory = file.absolute().parent
    if not os.path.lexists(directory) and directory.resolve() != made:
        raise ConfigError(
            f"{directory}: does not exist, and nothing was written; make the directory, or correct --output"
        )


def refuse_other_schema(file: Path, text: str, namespace: str) -> None:
    """Raises ConfigError if another file is in the place of the schema: editors would check settings by it."""
    if os.path.lexists(file) and not has_content(file, text):
        raise ConfigError(
            f"{file}: exists already and is not this version's schema of {namespace}'s settings, so editors would call "
            "right settings wrong; nothing was written; move it away, or replace it with --force"
        )


def has_content(file: Path, text: str) -> bool:
    """Whether a file is there with this text, in any layout if it is JSON."""
    try:
        return bool(json.loads(file.read_text("utf-8")) == json.loads(text))
    except (OSError, ValueError, RecursionError):
        return False


def write_new(files: Mapping[Path, str], *, force: bool) -> None:
    """Writes files beside their places and moves them there; what cannot be finished is taken back.

    Raises:
        ConfigError: a file is there already, without `force`.
        OutputError: a file cannot be written.

    """
    if not force:
        refuse_existing(files)
    staged: dict[Path, Path] = {}
    made: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
            staged[path] = Path(name)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(name, 0o666 & ~_umask())
        for path, temporary in staged.items():
            if force:
                temporary.replace(path)
            else:
                os.link(temporary, path)  # unlike a move, it fails where something has come to be meanwhile
                made.append(path)
    except BaseException as error:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"{error.filename2 or error.filename}: cannot be written: {error.strerror}") from None
        raise
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
