"""The two revisions of a project: the tree as it is, and the base in a tree of its own that is gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gke_llm_inference.diff.wording import quote
from gke_llm_inference.preview.errors import RevisionError

_GIT_SECONDS = 300
# Set by git for its hooks; they would point our commands to another repository or tree.
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_COMMON_DIR")


@dataclass(frozen=True)
class Revision:
    """One state of a project."""

    title: str
    """What it is called, with names quoted."""
    directory: Path
    """The project's directory in it."""
    note: str = ""
    """What a reader should know about the choice of it."""


def head_of(directory: Path) -> Revision:
    """The project as it lies on disk."""
    commit = _output(directory, "rev-parse", "--short", "--verify", "--quiet", "HEAD")
    if commit is None:
        return Revision("this directory", directory)
    changed = _output(directory, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return Revision(f"{quote(commit)}{' with changes that are not committed' if changed else ''}", directory)


@contextmanager
def base_in_directory(directory: Path) -> Iterator[Revision]:
    """Another copy of the project.

    Raises:
        RevisionError: there is no such directory.

    """
    if not directory.is_dir():
        raise RevisionError(f"{quote(directory)} is not a directory")
    yield Revision(f"directory {quote(directory)}", directory.resolve())


@contextmanager
def base_at(reference: str, project: Path) -> Iterator[Revision]:
    """The project at a git revision, in a temporary worktree that is removed at the end, also on an interrupt.

    A branch that is only known at the remote `origin` is found there.

    Raises:
        RevisionError: the revision does not exist, has no such project, or git cannot check it out.

    """
    top = _output(project, "rev-parse", "--show-toplevel")
    if top is None:
        raise RevisionError(f"{quote(project)} is not in a git repository, so it has no revision {quote(reference)}")
    name, commit = _resolve(reference, project)
    relative = project.resolve().relative_to(Path(top).resolve())
    temporary = Path(tempfile.mkdtemp(prefix="gke-llm-inference-base-"))
    tree = temporary / "base"
    try:
        # Hooks of the repository have no business with a tree that nobody works in.
        added = _git(
            project, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet", str(tree), commit
        )
        if added.returncode:
            raise RevisionError(f"git cannot check out {quote(name)}: {quote(added.stderr.strip(), 500)}")
        if not (tree / relative).is_dir():
            raise RevisionError(f"{quote(name)} has no directory {quote(relative)}")
        short = _output(project, "rev-parse", "--short", commit) or commit[:7]
        title = quote(name) if name.startswith(short) else f"{quote(name)} ({quote(short)})"
        yield Revision(title, tree / relative, _divergence(name, commit, project))
    finally:
        _git(project, "worktree", "remove", "--force", str(tree))
        shutil.rmtree(temporary, ignore_errors=True)


def _resolve(reference: str, project: Path) -> tuple[str, str]:
    """The revision's name and its commit."""
    for name in (reference, f"origin/{reference}"):
        commit = _output(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if commit:
            return name, commit
    shallow = _output(project, "rev-parse", "--is-shallow-repository") == "true"
    why = "; this clone is shallow: fetch the base, in GitHub Actions with fetch-depth: 0" if shallow else ""
    raise RevisionError(f"{quote(reference)} is not a revision of this repository{why}")


def _divergence(name: str, commit: str, project: Path) -> str:
    missing = _output(project, "rev-list", "--count", f"HEAD..{commit}", "--", ".")
    if not missing or missing == "0":
        return ""
    commits = "1 commit" if missing == "1" else f"{missing} commits"
    return (
        f"{quote(name)} has {commits} that this tree lacks; their changes show here as reverted. "
        f"{quote(f'--base $(git merge-base HEAD {name})')} leaves it out."
    )


def _output(directory: Path, *arguments: str) -> str | None:
    ended = _git(directory, *arguments)
    return ended.stdout.strip() if ended.returncode == 0 else None


def _git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_VARIABLES}
    try:
        return subprocess.run(  # noqa: S603 - arguments are passed one by one
            ["git", "-C", str(directory), *arguments],  # noqa: S607 - whichever git is installed
            env={**environment, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess([], 1, "", str(error))
