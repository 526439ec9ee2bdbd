"""Runs one Pulumi program, in a process of its own, as Pulumi's Python language host would.

Run by path, never imported by a program: the module depends on nothing but the SDK, and `shortcuts` beside it. A JSON
object on stdin says what to run. Errors are reported to the engine the way the language host does it; exit code 32
means "already reported".
"""

import asyncio
import gc
import importlib.util
import json
import logging
import os
import runpy
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import pulumi
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, source_pb2
from pulumi.runtime.settings import SETTINGS

# Importing the SDKs makes hundreds of thousands of objects that stay. To look for garbage among them every 700 new
# ones, as Python does by itself, takes about a tenth of a preview's time.
gc.set_threshold(200_000, 20, 100)

REPORTED = 32
"""Exit code: the failure has been reported as an error message."""

_PARALLEL = 4
_SDK_PACKAGES = ("pulumi", "pulumi_gcp", "pulumi_kubernetes")
_SKIPPED = ("asyncio", "concurrent", "grpc")
_SHORTCUTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shortcuts.py")


class QuietEngine:
    """The engine without debug messages, which nobody reads here.

    The SDK sends several for each resource and waits for every one: a third of the time of a large program.
    """

    def __init__(self, address: str) -> None:
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def Log(self, request: engine_pb2.LogRequest) -> Any:  # noqa: N802 - the name of the call
        """Pass on everything but debug messages."""
        if request.severity == engine_pb2.DEBUG:
            return None
        return self._engine.Log(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


async def settle() -> None:
    """Wait until nothing that the program started is outstanding.

    The SDK waits too, after this, and reports failures then. But it takes up its list of outstanding outputs
    again for every one that completes, which is quadratic; waiting for all of them at once is linear.

    Its twin in `components.settling` is for programs that settle themselves, in a deployment as well.
    """
    while True:
        with SETTINGS.lock:
            waiting = {*SETTINGS.outputs, *SETTINGS.rpc_manager.rpcs}
        waiting = {awaitable for awaitable in waiting if not awaitable.done()}
        if not waiting:
            return
        await asyncio.wait(waiting)
        await asyncio.sleep(0)


def settle_after(run: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make `pulumi.run` settle after the asynchronous entry point that it is given."""

    def register(program: Any) -> None:
        if not callable(program):
            run(program)
            return

        async def program_then_settle() -> Any:
            outputs = program()
            if not hasattr(outputs, "__await__"):
                raise TypeError("The function passed to pulumi.run must return an awaitable")
            exports = await outputs
            await settle()
            return exports

        run(program_then_settle)
        register.used = True  # type: ignore[attr-defined]

    register.used = False  # type: ignore[attr-defined]
    return register


def without_source_positions() -> None:
    """Register resources without their place in the program, which nobody reads here: it is a tenth of the time."""
    pulumi.runtime.resource._get_stack_trace = source_pb2.StackTrace


def take_shortcuts() -> None:
    """Make the SDK do less for the same answers, where it is one that the shortcuts know."""
    spec = importlib.util.spec_from_file_location("gke_llm_inference_shortcuts", _SHORTCUTS)
    assert spec is not None
    assert spec.loader is not None
    shortcuts = importlib.util.module_from_spec(spec)
    # A later SDK may have moved what they stand for.
    with suppress(ImportError, AttributeError):
        spec.loader.exec_module(shortcuts)
        shortcuts.take_shortcuts()


def note_secrets(report: Callable[[str], None]) -> None:
    """Report plain text that the program wraps in `Output.secret`, to keep it out of messages."""
    original = pulumi.Output.secret

    def secret(val: Any) -> Any:
        if isinstance(val, str):
            report(val)
        elif isinstance(val, (dict, list)):
            for text in _texts(val):
                report(text)
        return original(val)

    pulumi.Output.secret = staticmethod(secret)  # type: ignore[method-assign]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def describe(error: BaseException) -> str:
    """The traceback of an error with only the frames of the program's author, and a hint where one helps."""
    summary = traceback.TracebackException.from_exception(error)
    _trim(summary, set())
    text = "".join(summary.format()).rstrip()
    if isinstance(error, ModuleNotFoundError):
        text += f"\nIs the package installed for {sys.executable}?"
    if isinstance(error, pulumi.InputPropertiesError):
        for problem in error.errors or []:
            text += f"\n  {problem['property_path']}: {problem['reason']}"
    return text


def _trim(summary: traceback.TracebackException, seen: set[int]) -> None:
    if id(summary) in seen:
        return
    seen.add(id(summary))
    roots = tuple(
        os.path.dirname(module.__file__) + os.sep
        for name in (*_SDK_PACKAGES, *_SKIPPED)
        if (module := sys.modules.get(name)) is not None and module.__file__
    )
    own = (os.path.abspath(__file__), runpy.__file__, "<frozen runpy>", "<frozen importlib._bootstrap>")

    def wanted(frame: traceback.FrameSummary) -> bool:
        name = frame.filename
        if name in own or name.startswith("<frozen importlib"):
            return False
        return not name.startswith(roots)

    # The SDK's own functions call each other there where no shortcut is taken.
    summary.stack = traceback.StackSummary.from_list([frame for frame in summary.stack if frame.filename != _SHORTCUTS])
    frames = [frame for frame in summary.stack if wanted(frame)]
    if frames:
        summary.stack = traceback.StackSummary.from_list(frames)
    elif isinstance(summary.exc_type, type) and issubclass(summary.exc_type, SyntaxError):
        summary.stack = traceback.StackSummary.from_list([])
    for name in ("__cause__", "__context__"):
        inner: traceback.TracebackException | None = getattr(summary, name)
        if inner is None:
            continue
        if str(inner) == str(summary) and inner.exc_type is summary.exc_type:
            # The SDK raises the same error again from a task; one telling is enough.
            if len(inner.stack) > len(summary.stack):
                summary.stack = inner.stack
            setattr(summary, name, inner.__cause__ if name == "__cause__" else None)
        else:
            _trim(inner, seen)


def run_program(task: dict[str, Any]) -> int:
    """Run the program that the task names and returns the exit code of the process."""
    program = task["program"]
    os.chdir(task["directory"])
    sys.path.insert(0, os.path.dirname(program))
    sys.argv = [program]
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=task["project"],
            stack=task["stack"],
            root_directory=task["rootDirectory"],
            parallel=_PARALLEL,
            engine=QuietEngine(task["monitor"]),
            monitor=task["monitor"],
            dry_run=True,
            organization=task["organization"],
        )
    )
    pulumi.runtime.set_all_config(task["config"], task["secretKeys"])
    # Tasks that nobody awaits are part of how programs are written; only real failures are reported.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    without_source_positions()
    register = settle_after(pulumi.run)
    pulumi.run = register  # type: ignore[assignment]

    def body() -> Awaitable[None] | None:
        runpy.run_path(program, run_name="__main__")
        return None if register.used else settle()  # type: ignore[attr-defined]

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=_PARALLEL * 4)
    loop.set_default_executor(executor)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(body))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return REPORTED
    except SystemExit:
        raise
    except BaseException as error:
        pulumi.log.error(f"Program failed with an unhandled exception:\n{describe(error)}")
        return REPORTED
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def main() -> None:
    """Read the task from stdin, runs it and ends the process without waiting for threads of the program."""
    take_shortcuts()
    task = json.load(sys.stdin.buffer)
    sys.stdin = open(os.devnull)  # noqa: SIM115 - the program's stdin, for as long as the process lives
    os.set_inheritable(task["secretsDescriptor"], False)
    channel = os.fdopen(task["secretsDescriptor"], "w", encoding="utf-8", buffering=1)
    note_secrets(lambda text: print(json.dumps(text), file=channel))
    code = 1
    try:
        code = run_program(task)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        traceback.print_exception(error)
    finally:
        channel.flush()
        sys.stdout.flush()
        sys.stderr.flush()
    # Everything is reported by now; tearing down the interpreter would only cost time.
    os._exit(code)


if __name__ == "__main__":
    main()
