"""The guard against tests that leave processes behind finds what there is to find."""

import subprocess
from pathlib import Path

import pytest

from tests import leftovers
from tests.engine.support import wait_until
from tests.leftovers import left_below, nothing_outlives
from tests.local_gke.instances import sleep_as


def test_what_names_a_file_of_the_tests_or_works_there_is_found_and_nothing_else(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "owner"
    for directory in (own, other):
        directory.mkdir()
    etcd = sleep_as("etcd", [f"--data-dir={own}/etcd"], tmp_path / "etcd")
    foreign = sleep_as("etcd", [f"--data-dir={other}/etcd"], tmp_path / "foreign")
    plugin = subprocess.Popen(["sleep", "60"], cwd=own)
    try:
        # A process has its arguments a moment after it was started.
        wait_until(lambda: plugin.pid in left_below(own), 10)
        assert set(left_below(own)) == {etcd.pid, plugin.pid}
    finally:
        for process in (etcd, foreign, plugin):
            process.kill()
            process.wait()
    assert left_below(own) == {}


def test_what_is_left_fails_the_tests_and_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_SECONDS", 0.1)
    monkeypatch.setenv("TEST_ANY", "1")
    guard = nothing_outlives(tmp_path / "own", "TEST_ANY")
    next(guard)
    server = sleep_as("kube-apiserver", [f"--etcd-cafile={tmp_path}/own/ca.crt"], tmp_path / "server")
    with pytest.raises(AssertionError, match="processes outlive their tests"):
        next(guard)
    assert server.wait(10) == -9
