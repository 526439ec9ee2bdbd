"""A Python that has imported the SDKs already: tests run programs in forks of it, a second of CPU time each sooner.

`warm_python()` is the path of an executable that is used like `python`. It hands its arguments, directory, environment
and open files to a server that forks for each call. What a cold start does is for the tests that use `sys.executable`.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
_PYTHON = sys.executable

_IMPORTED = (
    *("grpc", "pulumi", "pulumi_gcp", "pulumi_gcp.compute", "pulumi_gcp.container", "pulumi_gcp.projects"),
    *("pulumi_gcp.secretmanager", "pulumi_gcp.serviceaccount", "pulumi_kubernetes", "components"),
    *("gke_llm_inference.cli.main", "gke_llm_inference.preview.run", "gke_llm_inference.preview.monitor"),
    *("gke_llm_inference.settings.pulumi_config", "gke_llm_inference.policy.preview_check"),
    *("gke_llm_inference.cli.draft", "gke_llm_inference.cli.plan_report", "gke_llm_inference.preview.render"),
)
# Their packages import themselves when something of them is first used.
_USED = (
    *("pulumi_gcp.compute:Network", "pulumi_gcp.container:Cluster", "pulumi_gcp.secretmanager:SecretIamMember"),
    *("pulumi_kubernetes.apiextensions:CustomResource", "pulumi_kubernetes.apps.v1:Deployment"),
    *("pulumi_kubernetes.core.v1:Secret", "pulumi_kubernetes.meta.v1:ObjectMetaArgs"),
    *("pulumi_kubernetes.policy.v1:PodDisruptionBudget", "grpc:insecure_channel"),
)
_MAXIMUM_FILES = 32
_START_SECONDS = 60

_CLIENT = """\
import json, os, socket, struct, sys
files = sorted(int(name) for name in os.listdir("/proc/self/fd"))
files = [file for file in files if file < 3 or os.path.exists(f"/proc/self/fd/{file}") and os.get_inheritable(file)]
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
call = {"arguments": sys.argv[2:], "cwd": os.getcwd(), "environment": dict(os.environ), "files": files}
message = json.dumps(call).encode()
socket.send_fds(connection, [struct.pack("!Q", len(message))], files)
connection.sendall(message)
for file in files:
    os.close(file)
answer = connection.recv(4)
code = struct.unpack("!i", answer)[0] if answer else 1
if code < 0:
    import signal
    if -code not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@cache
def warm_python() -> Path:
    """The executable; starts the server, which ends with the process that called this."""
    directory = Path(tempfile.mkdtemp(prefix="warm-python-"))
    address = directory / "socket"
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.Popen(
        [sys.executable, "-m", "tests.warm_python", str(address), str(theirs.fileno())],
        cwd=REPOSITORY,
        env=environment,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    theirs.close()
    ours.settimeout(_START_SECONDS)
    assert ours.recv(1) == b"1", "the server did not start"
    _kept.append(ours)
    client, executable = directory / "client.py", directory / "python"
    client.write_text(_CLIENT)
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{client}" "{address}" "$@"\n')
    executable.chmod(0o755)
    return executable


_kept: list[socket.socket] = []
"""The server ends when the other side of these is closed, however this process ends."""


def _serve(address: Path, lifeline: socket.socket) -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    for name in _USED:
        resolve_name(name)
    _plan_once()
    # What is there stays: forks share its memory, and none looks for garbage in it.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)
        lifeline.sendall(b"1")
        while True:
            ready, _, _ = select.select([listener, lifeline], [], [])
            if lifeline in ready:
                break
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                lifeline.close()
                _attend(connection, address.with_name("python"))
            connection.close()
    shutil.rmtree(address.parent, ignore_errors=True)


def _plan_once() -> None:
    """Makes what a first plan makes for all others: the catalog is read, models are built."""
    from gke_llm_inference import StackIdentity, parse_settings, plan_stack

    cluster = {"mode": "standard", "location": "us-central1"}
    server = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}
    settings = parse_settings({"cluster": cluster, "nodePools": {"l4": {}}, "servers": {"one": server}})
    plan_stack(settings, StackIdentity("warm", "warm", "my-project"))


def _attend(connection: socket.socket, executable: Path) -> NoReturn:
    """Runs one call in a process group of its own and tells its client how it ended; dies with its client."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    header, files, _, _ = socket.recv_fds(connection, 8, _MAXIMUM_FILES)
    message = b""
    (length,) = struct.unpack("!Q", header)
    while len(message) < length:
        message += connection.recv(length - len(message))
    call = json.loads(message)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(call, files, executable)
    for file in files:
        os.close(file)
    ended = os.pidfd_open(pid)
    select.select([ended, connection.fileno()], [], [])
    # The client says nothing more: what comes from it is its end.
    if not select.select([ended], [], [], 0)[0]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(call: dict[str, Any], files: list[int], executable: Path) -> NoReturn:
    """Makes this process what the call asks for: a module or a file, run as `python` would."""
    os.setsid()
    spare = 1000
    for number, file in enumerate(files):
        os.dup2(file, spare + number, inheritable=True)
        os.close(file)
    for number, wanted in enumerate(call["files"]):
        os.dup2(spare + number, wanted, inheritable=True)
        os.close(spare + number)
    # The server's own streams know what its files were: a log that can be searched, say.
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(call["environment"])
    time.tzset()
    os.chdir(call["cwd"])
    sys.executable = str(executable)
    sys.path[:] = [entry for entry in sys.path if entry not in (str(REPOSITORY), "")]
    sys.path[:0] = [entry for entry in call["environment"].get("PYTHONPATH", "").split(os.pathsep) if entry]
    option, target, *arguments = call["arguments"]
    if option == "-I":
        # A preview's supervisor, which is to start in milliseconds and imports nothing that is warm.
        os.execv(_PYTHON, [_PYTHON, option, target, *arguments])
    code = 1
    try:
        if option == "-m":
            sys.argv = [target, *arguments]
            sys.path.insert(0, call["cwd"])
            runpy.run_module(target, run_name="__main__", alter_sys=True)
        else:
            assert option == "-P", option
            sys.argv = [target, *arguments]
            runpy.run_path(target, run_name="__main__")
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code & 0xFF)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
