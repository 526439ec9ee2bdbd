"""Instances: side by side, killed, stopped, removed; private, and none but their own."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

import local.gke.cluster
from local.gke import LocalGke, LocalGkeError, Running
from local.gke.control_plane import START_ORDER, Ports, free_ports
from local.gke.processes import recorded
from tests.cluster.support import client, config
from tests.support import REPOSITORY


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "gke"
    LocalGke(tmp_path / "gke").reset()


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.gke", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def alive(running: Running) -> list[str]:
    return [process.name for process in running.processes if process.alive]


def test_the_whole_life_of_an_instance(directory: Path) -> None:
    assert cli("status", "--directory", directory).returncode == 1
    started = cli("start", "--directory", directory)
    assert started.returncode == 0, started.stderr
    gke = LocalGke(directory)
    running = gke.running()
    assert running is not None
    assert sorted(alive(running)) == sorted(START_ORDER)
    core = client.CoreV1Api(config.new_client_from_config(str(running.kubeconfig)))
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="kept")))
    # A second start finds it.
    assert gke.start() == running
    with pytest.raises(LocalGkeError, match="profile"):
        gke.start("autopilot")
    # What stops, ends; what starts again, has everything still.
    assert cli("stop", "--directory", directory).returncode == 0
    assert alive(running) == []
    assert gke.running() is None
    again = gke.start()
    assert again.server == running.server
    assert core.read_namespace("kept").metadata.name == "kept"
    assert cli("reset", "--directory", directory).returncode == 0
    assert alive(again) == []
    assert not directory.exists()


def test_two_instances_run_side_by_side_and_know_their_own_kubeconfigs(
    standard_gke: LocalGke, autopilot_gke: LocalGke
) -> None:
    one, other = standard_gke.running(), autopilot_gke.running()
    assert one is not None
    assert other is not None
    assert one.server != other.server
    assert standard_gke.owns(one.kubeconfig, one.context)
    assert not standard_gke.owns(other.kubeconfig, other.context)
    assert not standard_gke.owns(Path("/nowhere"))
    # The credentials of one are none to the other.
    mixed = yaml.safe_load(one.kubeconfig.read_text())
    mixed["clusters"] = yaml.safe_load(other.kubeconfig.read_text())["clusters"]
    core = client.CoreV1Api(config.new_client_from_config_dict(mixed))
    with pytest.raises(ApiException) as refused:
        core.list_namespace()
    assert refused.value.status == 401


def test_a_kubeconfig_that_only_claims_the_address_is_not_its_own(standard_gke: LocalGke, tmp_path: Path) -> None:
    running = standard_gke.running()
    assert running is not None
    claimed = yaml.safe_load(running.kubeconfig.read_text())
    claimed["clusters"][0]["cluster"]["certificate-authority-data"] = "b3RoZXI="
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(claimed))
    assert not standard_gke.owns(path)


def test_everything_is_private_and_on_loopback(standard_gke: LocalGke) -> None:
    for path in standard_gke.directory.rglob("*"):
        if "etcd" in path.parts or path.suffix == ".log":
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0 or stat.S_IMODE(standard_gke.directory.stat().st_mode) == 0o700, path
    for path in (standard_gke.directory / "pki").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    running = standard_gke.running()
    assert running is not None
    assert stat.S_IMODE(running.kubeconfig.stat().st_mode) == 0o600
    assert {address for process in running.processes for address in listening(process.pid)} == {"127.0.0.1"}


def listening(pid: int) -> set[str]:
    """Addresses that a process listens on."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(link))
        except OSError:
            continue
    found = set()
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                packed = bytes.fromhex(fields[1].split(":")[0])
                words = [packed[index : index + 4][::-1] for index in range(0, len(packed), 4)]
                found.add(socket.inet_ntop(family, b"".join(words)))
    return found


def test_the_administrator_is_one_by_a_role_binding_that_can_be_taken(standard_gke: LocalGke) -> None:
    running = standard_gke.running()
    assert running is not None
    api = config.new_client_from_config(str(running.kubeconfig))
    user = client.AuthenticationV1Api(api).create_self_subject_review({}).status.user_info
    assert user.username == "local"
    assert set(user.groups) == {"local-gke:administrators", "system:authenticated"}


@pytest.mark.parametrize("moment", [0.3, 2.0, 5.0])
def test_a_start_that_is_killed_is_made_good_by_the_next(directory: Path, moment: float) -> None:
    command = [sys.executable, "-m", "local.gke", "start", "--directory", str(directory)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (directory / "instance.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)
    left = [one for one in recorded(directory / "processes") if one.alive]
    running = LocalGke(directory).start()
    assert sorted(alive(running)) == sorted(START_ORDER)
    if moment < 5:
        assert not any(one.alive for one in left)


def test_a_process_that_died_makes_the_next_start_anew(directory: Path) -> None:
    gke = LocalGke(directory)
    before = gke.start()
    (scheduler,) = [process for process in before.processes if process.name == "kube-scheduler"]
    os.kill(scheduler.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while scheduler.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gke.running() is None
    after = gke.start()
    assert sorted(alive(after)) == sorted(START_ORDER)
    assert alive(before) == []


def test_ports_that_are_taken_meanwhile_are_replaced(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        calls = []

        def ports(preferred: int | None) -> Ports:
            calls.append(preferred)
            free = free_ports(preferred)
            return Ports(port, free.store, free.store_peer) if len(calls) == 1 else free

        monkeypatch.setattr(local.gke.cluster, "free_ports", ports)
        lines: list[str] = []
        running = LocalGke(directory).start(progress=lines.append)
    assert len(calls) == 2
    assert any("a port was taken" in line for line in lines)
    assert not running.server.endswith(f":{port}")


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    gke = LocalGke(tmp_path)
    with pytest.raises(LocalGkeError, match="holds something else"):
        gke.start()
    with pytest.raises(LocalGkeError, match="nothing was removed"):
        gke.reset()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
