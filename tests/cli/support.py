"""The command in a process of its own, and on a terminal of 80 columns."""

from __future__ import annotations

import os
import subprocess
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

import pexpect

from tests.support import REPOSITORY
from tests.warm_python import warm_python

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    _Spawn = pexpect.spawn[str]
else:
    _Spawn = pexpect.spawn

COLUMNS = 80
PLAIN = MappingProxyType({"NO_COLOR": "1"})
"""A terminal that wants no colors."""


def environment(more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """What the command sees: this repository's code, and nothing that asks for colors or a width."""
    unset = ("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "TERM", "TTY_COMPATIBLE")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **more}


def run(
    arguments: Sequence[str | Path],
    directory: Path = REPOSITORY,
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    cold: bool = False,
) -> subprocess.CompletedProcess[str]:
    """The command off a terminal; `cold` in a Python of its own, where what is read at the start matters."""
    return subprocess.run(
        [sys.executable if cold else warm_python(), "-m", "gke_llm_inference", *map(str, arguments)],
        cwd=directory,
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


class Terminal(_Spawn):
    """The command on a terminal; `cold` in a Python of its own, where the terminal sends signals."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        directory: Path = REPOSITORY,
        variables: Mapping[str, str] = MappingProxyType({}),
        *,
        cold: bool = False,
    ) -> None:
        super().__init__(
            sys.executable if cold else str(warm_python()),
            ["-m", "gke_llm_inference", *map(str, arguments)],
            cwd=str(directory),
            env=environment({"TERM": "xterm", **variables}),
            encoding="utf-8",
            dimensions=(60, COLUMNS),
            timeout=60,
            echo=False,
        )

    def answer(self, question: str, text: str) -> str:
        """What was shown up to a question, which is then answered."""
        self.expect_exact(question)
        shown = self.before or ""
        self.expect_exact("]: ")
        self.sendline(text)
        return shown

    def ended(self) -> tuple[int | None, str]:
        """The exit code, and what was shown since the last question."""
        self.expect(pexpect.EOF)
        self.wait()  # closing at once would hang up on a process that is about to end
        self.close()
        return self.exitstatus, (self.before or "").replace("\r\n", "\n")
