"""Runs a program, and ends everything that came of it once it has ended or nobody waits for it any more.

Run by path, as `supervisor.py CHANNEL CLOSED COMMAND...`, so that it starts in milliseconds. CHANNEL is a socket's
descriptor: its end says that nobody waits; what is written there is the program's process id and control group, and
then how it ended. CLOSED names descriptors that are the program's alone.

A process whose parent ended becomes a child of this one (PR_SET_CHILD_SUBREAPER), whatever session it is in. Where a
control group can be made besides, even what kills this process first is ended, by whoever waits. Both are Linux's; on
other systems, a process that leaves its process group is not found.
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress

PATH = os.path.abspath(__file__)

_SUBREAPER = 36
_PARENT_DEATH_SIGNAL = 1
_END_SECONDS = 10.0
_POLL_SECONDS = 0.005
_CANNOT_RUN = 127


def end_group(path: str) -> None:
    """Kill everything in a control group, and remove it; an empty path is no group."""
    if not path:
        return
    end = time.monotonic() + _END_SECONDS
    while time.monotonic() < end:
        with suppress(OSError), open(f"{path}/cgroup.kill", "w", encoding="utf-8") as file:
            file.write("1")
        with suppress(OSError), open(f"{path}/cgroup.procs", encoding="utf-8") as file:
            for pid in map(int, file.read().split()):
                _kill(pid)
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(_POLL_SECONDS)  # the dead are still being taken out


def main() -> None:
    """Run the command of the command line."""
    channel, closed, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.set_inheritable(channel, False)
    _control(_SUBREAPER, 1)
    woken, waker = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waker, False)
    # Handlers, as what is ignored would be ignored by the program too.
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    group = _make_group()
    program = os.fork()
    if program == 0:
        _become(command, group)
    _tell(channel, f"{program} {group}\n")
    _let_go(int(number) for number in filter(None, closed.split(",")))
    status = _wait(program, channel, woken)
    end_group(group)
    status = _end_descendants(program, status)
    _tell(channel, f"{os.waitstatus_to_exitcode(status) if status is not None else -signal.SIGKILL}\n")
    os._exit(0)


def _become(command: list[str], group: str) -> None:
    """Turn this process into the program."""
    try:
        # A group of its own, so that it can be ended as one where nothing better is there.
        os.setpgid(0, 0)
        _control(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if group:
            with suppress(OSError), open(f"{group}/cgroup.procs", "w", encoding="utf-8") as file:
                file.write("0")
        os.execv(command[0], command)  # noqa: S606 - what the caller names
    except BaseException as error:
        os.write(2, f"{command[0]} cannot be run: {error}\n".encode())
    os._exit(_CANNOT_RUN)


def _let_go(descriptors: object) -> None:
    """Keep none of the program's streams open, or their end would not be seen."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    for descriptor in descriptors:  # type: ignore[attr-defined]
        os.close(descriptor)


def _wait(program: int, channel: int, woken: int) -> "int | None":
    """Wait for the program's end, and return how it ended; None if nobody waits any more before that."""
    poll = select.poll()
    poll.register(channel, select.POLLIN | select.POLLHUP)
    poll.register(woken, select.POLLIN)
    while True:
        status = _reap(program, None)
        if status is not None:
            return status
        ready = {descriptor for descriptor, _ in poll.poll()}
        if channel in ready:
            return None
        with suppress(BlockingIOError):
            os.read(woken, 1024)


def _reap(program: int, status: "int | None") -> "int | None":
    """Take notice of every child that has ended; how the program did if it is one of them."""
    with suppress(ChildProcessError):
        while True:
            pid, ended = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == program:
                status = ended
    return status


def _end_descendants(program: int, status: "int | None") -> "int | None":
    """Kill until no child is left: the children of the dead become this process's."""
    end = time.monotonic() + _END_SECONDS
    while time.monotonic() < end:
        if status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(program, signal.SIGKILL)
        status = _reap(program, status)
        if not _has_children():
            break
        for pid in _descendants():
            _kill(pid)
        time.sleep(_POLL_SECONDS)
    return status


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _descendants() -> "list[int]":
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        with suppress(OSError, ValueError, IndexError), open(f"/proc/{int(name)}/stat", "rb") as file:
            # The second field is the program's name in parentheses, which may contain anything.
            children.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(name))
    found = []
    waiting = [os.getpid()]
    while waiting:
        more = children.pop(waiting.pop(), [])
        found += more
        waiting += more
    return found


def _make_group() -> str:
    """A control group of its own below this process's, where that may be made; an empty path elsewhere."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next(line.rstrip("\n")[3:] for line in file if line.startswith("0::"))
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [line.split() for line in file]
        mount = next(fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2" and fields[3] == "/")
        path = f"{mount}{own.rstrip('/')}/gke-llm-inference-{os.getpid()}"
        os.mkdir(path)
    except (OSError, StopIteration, ValueError):
        return ""
    return path


def _control(option: int, value: int) -> None:
    """Set an attribute of this process, on Linux."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _tell(channel: int, text: str) -> None:
    with suppress(OSError):
        os.write(channel, text.encode())


if __name__ == "__main__":
    main()
