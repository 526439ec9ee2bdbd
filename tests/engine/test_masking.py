"""What the engine passes on of a program's own errors is told without secrets."""

from pathlib import Path
from typing import Any, NoReturn

import pytest
from pulumi.automation import CommandResult, EngineEvent
from pulumi.automation.errors import CommandError as FailedCommand
from pulumi.automation.events import DiagnosticEvent, StdoutEngineEvent

from gke_llm_inference.preview.recorder import Recorder
from gke_llm_inference.preview.recording import Severity
from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from local.engine.errors import EngineError
from local.engine.stack import EngineStack

KNOWN = "opaque-placeholder-7"
FORMED = "hf_" + "Zk3q8RvT1xW7yB5nC9mD2pF4gH6jK0"
TEXT = f"RuntimeError: the hub refused {KNOWN} and {FORMED}"
SHOWN = "RuntimeError: the hub refused [secret] and [secret]"


class _Uninterrupted:
    @staticmethod
    def is_set() -> bool:
        return False


class _Command:
    interrupted = _Uninterrupted()


def stack(tmp_path: Path) -> EngineStack:
    unused: Any = None
    command: Any = _Command()
    return EngineStack(command, tmp_path, unused, unused, secrets={"p:huggingFaceToken": KNOWN})


def test_an_event_is_told_without_secrets(tmp_path: Path) -> None:
    told: list[EngineEvent] = []
    tell = stack(tmp_path)._masked(told.append)
    assert tell is not None
    tell(EngineEvent(1, 0, diagnostic_event=DiagnosticEvent(message=TEXT, color="never", severity="error")))
    tell(EngineEvent(2, 0, stdout_event=StdoutEngineEvent(message=TEXT, color="never")))
    assert told[0].diagnostic_event is not None
    assert told[1].stdout_event is not None
    assert [told[0].diagnostic_event.message, told[1].stdout_event.message] == [SHOWN, SHOWN]
    assert stack(tmp_path)._masked(None) is None


def test_a_failed_operation_is_told_without_secrets(tmp_path: Path) -> None:
    def fails() -> NoReturn:
        raise FailedCommand(CommandResult(stdout="", stderr=f"error: Program failed\nerror: {TEXT}\n", code=255))

    with pytest.raises(EngineError) as caught:
        stack(tmp_path)._translating_errors(fails)
    assert SHOWN in str(caught.value)
    assert KNOWN not in str(caught.value)
    assert FORMED not in str(caught.value)


def test_an_offline_preview_tells_a_programs_own_error_without_secrets() -> None:
    masker = SecretMasker()
    masker.add(KNOWN)
    recorder = Recorder("p", "s", masker)
    recorder.log(Severity.ERROR, TEXT, None)
    assert recorder.problems() == (SHOWN,)
    recording = recorder.finish(stdout=TEXT, stderr=TEXT)
    assert (recording.program_stdout, recording.program_stderr) == (SHOWN, SHOWN)
    assert [entry.message for entry in recording.logs] == [SHOWN]
