"""Instances whose files are those of a real start, and whose processes only sleep."""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.gke.control_plane import AUTOSCALER, START_ORDER, Credentials, Layout, Ports, commands, write_kubeconfigs
from local.gke.files import write_json
from local.gke.processes import start_time
from local.gke.state import State, write_state

PORTS = Ports(9, 10, 11)
"""Nobody listens there."""


def write_instance(directory: Path, ports: Ports = PORTS) -> Layout:
    """The files of an instance that was started to the end."""
    layout = Layout(directory)
    layout.make()
    state = State("standard", 60.0, ports, complete=True)
    write_state(layout, state)
    credentials = Credentials.of(layout)
    write_kubeconfigs(layout, credentials, state.server)
    return layout


@contextmanager
def sleeping(
    layout: Layout, ports: Ports = PORTS, *, recorded: bool = True
) -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    """Every process of the instance, each with the arguments that the real one has; ended afterwards."""
    arguments = commands(layout, dict.fromkeys(START_ORDER, Path("/nowhere")), Credentials.of(layout), ports, 60.0)
    processes = {}
    marks = tempfile.TemporaryDirectory()
    try:
        for name, command in arguments.items():
            program = name if name != AUTOSCALER else "python"
            processes[name] = sleep_as(program, command[1:], Path(marks.name, name))
            if recorded:
                record(layout, name, processes[name].pid)
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
        marks.cleanup()


def record(layout: Layout, name: str, pid: int) -> None:
    """Puts a process on record."""
    write_json(layout.records / f"{name}.json", {"name": name, "pid": pid, "started": start_time(pid)})


def sleep_as(program: str, arguments: list[str], mark: Path) -> subprocess.Popen[bytes]:
    """A process that sleeps and looks like another program with such arguments; it runs when this returns."""
    ready = mark.with_name(f"{mark.name}.ready")
    ready.unlink(missing_ok=True)
    # It ends with its standard input, so with whoever started it.
    shell = f": > '{ready}'; read -r _"
    process = subprocess.Popen(
        [f"/nowhere/{program}", "-c", shell, *arguments], executable="/bin/sh", stdin=subprocess.PIPE
    )
    while not ready.exists():
        assert process.poll() is None
        time.sleep(0.005)
    return process
