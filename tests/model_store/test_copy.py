"""The program that copies a model: what it copies, what it refuses, and how it goes on after whatever happens."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from gke_llm_inference.planning.model_store import copy_model
from gke_llm_inference.planning.model_store.copy_model import COMPLETE, File, selected
from tests.model_store.world import BUCKET, COMMIT, GOOGLE_TOKEN, MODEL, QUANTUM, TOKEN, Servers, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
PREFIX = f"{MODEL}/{COMMIT}"
_RANDOM = random.Random(7)
FILES = {
    ONE: _RANDOM.randbytes(5 * QUANTUM + 17),
    TWO: _RANDOM.randbytes(3 * QUANTUM),
    "config.json": b'{"model_type": "tiny"}',
    "empty.txt": b"",
    "tokenizer.model": _RANDOM.randbytes(70_000),
    "model.safetensors.index.json": b"{}",
    "pytorch_model.bin": b"the same again",
    "original/consolidated.00.pth": b"and again",
    "consolidated.safetensors": b"and again",
    "README.md": b"# Tiny",
}
WANTED = {
    name: data for name, data in FILES.items() if not name.endswith((".bin", ".pth", ".md", "consolidated.safetensors"))
}


@pytest.fixture
def world() -> Iterator[World]:
    made = World(dict(FILES), {ONE, TWO, "tokenizer.model", "pytorch_model.bin"})
    servers = Servers(made)
    yield made
    servers.close()


@pytest.fixture(autouse=True)
def _own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def arguments(world: World, directory: Path, *more: str, token: str = TOKEN) -> list[str]:
    (directory / "token").write_text(f"{token}\n")
    return [
        f"--model={MODEL}",
        f"--revision={COMMIT}",
        f"--bucket={BUCKET}",
        f"--state={directory / 'state'}",
        f"--token-file={directory / 'token'}",
        f"--hub={world.hub}",
        f"--storage={world.storage}",
        f"--metadata={world.metadata}",
        "--chunk-mib=0.25",
        "--backoff=0.005",
        "--grant-wait=2",
        "--progress=0.02",
        *more,
    ]


def run(world: World, directory: Path, *more: str, token: str = TOKEN) -> int:
    return copy_model.main(arguments(world, directory, *more, token=token))


def started(world: World, directory: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-B", copy_model.__file__, *arguments(world, directory, *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_what_servers_read_is_copied_and_said_to_be_complete_last(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(world, tmp_path) == 0
    copied = world.copied()
    complete = json.loads(copied.pop(COMPLETE))
    assert copied == WANTED
    assert (complete["model"], complete["revision"]) == (MODEL, COMMIT)
    assert complete["bytes"] == sum(map(len, WANTED.values()))
    assert {one["path"]: one["sha256"] for one in complete["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in WANTED.items()
    }
    last = [one for one in world.asked("storage") if one.method != "GET"][-1]
    assert "uploadType=media" in last.path
    assert COMPLETE.strip(".") in last.path
    told = capsys.readouterr().out
    assert f"complete: {len(WANTED)} files, {complete['bytes']} bytes" in told
    assert f"{len(WANTED)} of {len(WANTED)} files" in told
    assert list((tmp_path / "state").iterdir()) == []


def test_the_second_run_asks_the_bucket_alone_and_writes_nothing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(world, tmp_path)
    world.requests.clear()
    assert run(world, tmp_path) == 0
    assert Counter(one.who for one in world.requests) == {"storage": 5, "metadata": 1}
    assert {one.method for one in world.asked("storage")} == {"GET"}
    assert capsys.readouterr().out.endswith("everything is there; nothing to do\n")


def test_the_token_is_told_to_hugging_face_alone_and_to_nobody_else(world: World, tmp_path: Path) -> None:
    process = started(world, tmp_path)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert world.asked("cdn")
    for one in world.requests:
        has_token = TOKEN in json.dumps([one.path, one.headers])
        assert has_token == (one.who == "hub"), one
        assert (GOOGLE_TOKEN in json.dumps(one.headers)) == (one.who == "storage" and "/session/" not in one.path), one
    kept = b"".join(one.data + json.dumps(one.metadata).encode() for one in world.objects.values())
    state = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    for secret in (TOKEN, GOOGLE_TOKEN, "planted-session", "planted-signature"):
        assert secret not in told
        assert secret.encode() not in kept
        assert secret.encode() not in state
    assert TOKEN not in " ".join(map(str, process.args))  # type: ignore[arg-type]


def test_a_killed_program_goes_on_where_the_bucket_says_that_it_stopped(world: World, tmp_path: Path) -> None:
    world.slow = 0.01
    process = started(world, tmp_path, "--files=1")
    until = time.monotonic() + 30
    while world.received[f"{PREFIX}/{ONE}"] < 3 * QUANTUM and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    assert process.wait(timeout=30) == -signal.SIGKILL
    time.sleep(0.05)  # what is on its way to the bucket
    (state,) = (tmp_path / "state").glob("*.json")
    assert state.stat().st_mode & 0o077 == 0
    assert COMPLETE not in world.copied()
    world.slow = 0.0
    before_hub = world.sent[ONE]
    process = started(world, tmp_path, "--files=1")
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert f"{ONE}: goes on at" in told
    copied = world.copied()
    copied.pop(COMPLETE)
    assert copied == WANTED
    # Nothing that the bucket had is sent again; what was on its way when the program was killed is one chunk.
    assert len(FILES[ONE]) <= world.received[f"{PREFIX}/{ONE}"] <= len(FILES[ONE]) + QUANTUM
    assert world.sent[ONE] - before_hub < len(FILES[ONE]) - 2 * QUANTUM
    assert list((tmp_path / "state").glob("*.json")) == []


def test_files_that_were_done_before_are_not_copied_again_even_by_another_pod(world: World, tmp_path: Path) -> None:
    run(world, tmp_path)
    for name in (COMPLETE, TWO):
        del world.objects[f"{PREFIX}/{name}"]
    world.received.clear()
    world.sent.clear()
    another = tmp_path / "another"
    another.mkdir()
    assert run(world, another) == 0
    assert {name.rpartition("/")[2] for name, count in world.received.items() if count} == {TWO}
    assert set(world.sent) == {TWO}
    assert COMPLETE in world.copied()


def test_a_model_of_which_something_was_taken_away_is_not_complete_until_it_is_again(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(world, tmp_path)
    del world.objects[f"{PREFIX}/config.json"]
    assert run(world, tmp_path) == 0
    assert "the model was complete, and is not any longer" in capsys.readouterr().out
    assert world.copied()["config.json"] == FILES["config.json"]


def test_a_corrupted_file_is_refused_and_nothing_of_it_stays(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.served[TWO] = FILES[TWO][:-1] + b"?"
    assert run(world, tmp_path, "--files=1") == 1
    assert {TWO, COMPLETE}.isdisjoint(world.copied())
    expected = hashlib.sha256(FILES[TWO]).hexdigest()
    assert capsys.readouterr().err == (
        f"failed: {TWO}: its bytes are not those that Hugging Face states (sha256:{expected}); nothing of it was kept\n"
    )
    # The upload is forgotten too: the next start begins anew.
    world.served.clear()
    assert run(world, tmp_path) == 0
    assert world.copied()[TWO] == FILES[TWO]


def test_a_corrupted_small_file_is_refused_by_its_git_blob(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.served["config.json"] = FILES["config.json"].replace(b"tiny", b"tinx")
    assert run(world, tmp_path) == 1
    assert "config.json" not in world.copied()
    assert "config.json: its bytes are not those that Hugging Face states (git-sha1:" in capsys.readouterr().err


def test_a_file_that_was_corrupted_before_an_interruption_is_found_and_removed(world: World, tmp_path: Path) -> None:
    world.served[ONE] = b"?" + FILES[ONE][1:]
    world.slow = 0.01
    process = started(world, tmp_path, "--files=1")
    until = time.monotonic() + 30
    while world.received[f"{PREFIX}/{ONE}"] < 2 * QUANTUM and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.wait(timeout=30)
    time.sleep(0.05)
    world.served.clear()
    world.slow = 0.0
    assert run(world, tmp_path, "--files=1") == 1
    assert ONE not in world.copied()
    assert run(world, tmp_path) == 0
    assert world.copied()[ONE] == FILES[ONE]


def test_what_the_bucket_keeps_wrongly_is_removed(world: World, tmp_path: Path) -> None:
    world.alters = f"{PREFIX}/{ONE}"
    assert run(world, tmp_path) == 1
    assert {ONE, COMPLETE}.isdisjoint(world.copied())


@pytest.mark.parametrize("who", ["hub", "cdn", "storage", "metadata"])
def test_those_who_are_busy_are_asked_again(world: World, tmp_path: Path, who: str) -> None:
    world.busy[who] = 4
    assert run(world, tmp_path, "--files=1") == 0
    assert world.copied()[ONE] == FILES[ONE]


def test_who_is_busy_for_good_ends_the_copy(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world.busy["hub"] = 1000
    assert run(world, tmp_path) == 1
    assert capsys.readouterr().err == (
        "failed: the list of files: gave up after 8 attempts: the answers ask to come again\n"
    )
    assert len(world.asked("hub")) == 8


def test_a_download_that_breaks_off_goes_on_where_it_did(world: World, tmp_path: Path) -> None:
    world.drops = [3 * 65536, 65536, 2 * 65536]
    assert run(world, tmp_path, "--files=1") == 0
    assert world.copied()[ONE] == FILES[ONE]
    assert world.sent[ONE] < len(FILES[ONE]) + 65536


def test_a_cdn_without_ranges_is_read_from_the_start_and_the_rest_is_right(world: World, tmp_path: Path) -> None:
    world.ranges = False
    world.drops = [3 * 65536]
    assert run(world, tmp_path, "--files=1") == 0
    assert world.copied()[ONE] == FILES[ONE]


def test_a_bucket_that_takes_less_than_it_is_sent_gets_the_rest(world: World, tmp_path: Path) -> None:
    world.takes = QUANTUM
    assert run(world, tmp_path, "--chunk-mib=1") == 0
    assert world.copied()[ONE] == FILES[ONE]


def test_an_upload_that_the_bucket_forgot_begins_anew(world: World, tmp_path: Path) -> None:
    world.slow = 0.01
    process = started(world, tmp_path, "--files=1")
    until = time.monotonic() + 30
    while world.received[f"{PREFIX}/{ONE}"] < 2 * QUANTUM and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.wait(timeout=30)
    world.slow = 0.0
    world.forgotten |= set(world.sessions)
    assert run(world, tmp_path) == 0
    assert world.copied()[ONE] == FILES[ONE]


def test_a_program_that_is_told_to_end_does_and_goes_on_later(world: World, tmp_path: Path) -> None:
    world.slow = 0.01
    process = started(world, tmp_path, "--files=1")
    until = time.monotonic() + 30
    while not world.received[f"{PREFIX}/{ONE}"] and time.monotonic() < until:
        time.sleep(0.005)
    process.terminate()
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert told.endswith("stopped; what is under way goes on with the next start\n")
    world.slow = 0.0
    assert run(world, tmp_path) == 0
    assert world.copied()[ONE] == FILES[ONE]


class _Zeros:
    """A hub whose files are long, and of zeros."""

    def open(self, _file: File, _start: int) -> _Zeros:
        return self

    def readinto(self, view: memoryview) -> int:
        return len(view)

    def close(self) -> None:
        pass


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    clock = copy_model.Clock(0.001)
    hub: Any = _Zeros()
    nobody: Any = None
    copier = copy_model.Copier(hub, nobody, "a/b", copy_model.States(tmp_path), clock, 2**20)
    long = File("model.safetensors", 512 * 2**20 + 5, None, "")
    tracemalloc.start()
    try:
        sent = sum(len(data) for _, data, _ in copier._chunks(long, 0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent == long.size
    assert peak < 2 * 2**20


def test_an_object_of_somebody_else_is_read_before_it_counts(world: World, tmp_path: Path) -> None:
    run(world, tmp_path)
    for name in (ONE, TWO):
        world.objects[f"{PREFIX}/{name}"].metadata.clear()
    world.objects[f"{PREFIX}/{TWO}"].data = b"?" + FILES[TWO][1:]
    del world.objects[f"{PREFIX}/{COMPLETE}"]
    world.received.clear()
    assert run(world, tmp_path) == 0
    assert {name.rpartition("/")[2] for name, count in world.received.items() if count} == {TWO}
    assert world.copied()[TWO] == FILES[TWO]


def test_iam_may_take_its_time_but_not_for_ever(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.closed = 3
    assert run(world, tmp_path) == 0
    assert f"bucket {BUCKET} does not let this account in yet; waiting for IAM, 2 s at most" in capsys.readouterr().out
    world.closed = 10**9
    assert run(world, tmp_path, "--grant-wait=0.05") == 1
    assert capsys.readouterr().err == (
        f"failed: bucket {BUCKET}: the bucket does not let this account write: it needs roles/storage.objectUser\n"
    )


@pytest.mark.parametrize(
    ("more", "token", "told"),
    [
        ((), "", f"{MODEL} is gated: accept its license at HUB/{MODEL}, and give the stack that account's token"),
        ((), "hf_other", "Hugging Face does not know the token: it may be revoked, or cut off"),
        ((f"--revision={'f' * 40}",), TOKEN, f"{MODEL} has no commit {'f' * 40}"),
        (("--model=acme/other",), TOKEN, "there is no model acme/other, or the token's account does not see it"),
        (("--model=acme/other",), "", "there is no model acme/other, or it is private and needs a token"),
        (("--bucket=nowhere",), TOKEN, "bucket nowhere: there is no such bucket"),
    ],
)
def test_a_refusal_is_told_in_words(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], token: str, told: str
) -> None:
    assert run(world, tmp_path, *more, token=token) == 1
    assert capsys.readouterr().err == f"failed: {told.replace('HUB', world.hub)}\n"
    assert world.objects == {}


def file(path: str, size: int = 1) -> File:
    return File(path, size, None, "0" * 40)


def test_weights_are_chosen_once() -> None:
    paths = [
        "model.safetensors",
        "pytorch_model.bin",
        "model.gguf",
        "original/a.safetensors",
        "consolidated.safetensors",
    ]
    assert [one.path for one in selected(map(file, [*paths, "config.json", "vocab.txt", "README.md"]))] == [
        "config.json",
        "model.safetensors",
        "vocab.txt",
    ]
    older = ["pytorch_model.bin", "training_args.bin", "optimizer.pt", "config.json"]
    assert [one.path for one in selected(map(file, older))] == ["config.json", "pytorch_model.bin"]
    only = ["consolidated.safetensors", "params.json"]
    assert [one.path for one in selected(map(file, only))] == ["consolidated.safetensors", "params.json"]


def test_the_largest_files_come_first() -> None:
    assert [one.size for one in selected([file("a.json", 3), file("b.safetensors", 9), file("c.json", 5)])] == [9, 5, 3]
