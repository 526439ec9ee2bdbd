"""Files of an instance that are not what was written there: told by name before anything is done, and removed."""

import datetime
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from local.gke import LocalGke, LocalGkeError
from local.gke.certificates import Authority
from local.gke.control_plane import Credentials, Layout, Ports
from local.gke.errors import DamagedError
from local.gke.files import remove, write_json, write_private
from local.gke.state import State, read_simulation, write_state
from tests.local_gke.instances import sleeping, write_instance

pytestmark = pytest.mark.processes

EVERY_DAMAGE = ("instance.json", "kubeconfig", "processes/etcd.json", "pki/authority.crt")
SOME_DAMAGE = (
    "pki/authority.key",
    "pki/store-authority.crt",
    "pki/kube-apiserver.crt",
    "pki/kube-apiserver.key",
    "pki/etcd.crt",
    "pki/etcd-client.key",
    "pki/administrator.crt",
    "pki/service-accounts.key",
)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": _half,
    "{}": lambda path: path.write_text("{}"),
    "[]": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
    "deep": lambda path: path.write_text("[" * 100_000),
    "a directory": _directory,
}


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """An instance that nothing of runs, and that no start gets to."""

    def fail(*_arguments: object) -> None:
        raise AssertionError("it was started")

    monkeypatch.setattr("local.gke.cluster.ensure", lambda *_: {})
    monkeypatch.setattr(LocalGke, "_start", fail)
    layout = write_instance(tmp_path / "gke")
    write_json(layout.records / "etcd.json", {"name": "etcd", "pid": 2**22, "started": "long ago"})
    return layout


CASES = [
    *((name, damage) for name in EVERY_DAMAGE for damage in DAMAGES),
    *((name, damage) for name in SOME_DAMAGE for damage in ("empty", "truncated")),
]


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_a_start_names_what_is_damaged_and_a_reset_removes_it(layout: Layout, name: str, damage: str) -> None:
    DAMAGES[damage](layout.directory / name)
    gke = LocalGke(layout.directory)
    with pytest.raises(DamagedError, match=f"{layout.directory / name} is damaged: "):
        gke.start()
    assert gke.running() is None
    gke.reset()
    assert not layout.directory.exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"ports": {"api": 1, "store": 2, "store_peer": 3}, "profile": "other", "speed": 60.0}',
        '{"ports": {"api": 0, "store": 2, "store_peer": 3}, "profile": "standard", "speed": 60.0}',
        '{"ports": {"api": 1, "store": 2, "store_peer": "3"}, "profile": "standard", "speed": 60.0}',
        '{"ports": {"api": 1, "store": 2, "store_peer": 3}, "profile": "standard", "speed": -1}',
        '{"ports": {"api": 1, "store": 2, "store_peer": 3}, "profile": "standard", "speed": "fast"}',
        '{"ports": {"api": 1, "store": 2, "store_peer": 3}, "profile": "standard", "speed": 60.0, "complete": 1}',
        '{"ports": {"api": 1, "store": 2, "store_peer": 3}, "profile": "standard", "speed": 60.0, "more": 1}',
        '{"ports": [], "profile": "standard", "speed": 60.0}',
    ],
)
def test_an_instance_that_cannot_be_is_damaged(layout: Layout, text: str) -> None:
    layout.state.write_text(text)
    with pytest.raises(DamagedError, match=r"instance.json is damaged: it does not describe an instance"):
        LocalGke(layout.directory).condition()


def test_certificates_that_do_not_belong_together_are_damaged(layout: Layout, tmp_path: Path) -> None:
    other = write_instance(tmp_path / "other")
    pki = layout.certificates
    shutil.copy(other.certificates / "etcd.key", pki)
    with pytest.raises(DamagedError, match=r"etcd.crt is damaged: it does not belong to etcd.key beside it"):
        LocalGke(layout.directory).start()
    shutil.copy(other.certificates / "etcd.crt", pki)
    with pytest.raises(DamagedError, match=r"etcd.crt is damaged: store-authority.crt beside it did not sign it"):
        LocalGke(layout.directory).start()


def test_an_authority_that_is_missing_is_not_made_anew_beside_what_it_signed(layout: Layout) -> None:
    (layout.certificates / "authority.key").unlink()
    with pytest.raises(DamagedError, match=r"authority.crt beside it did not sign it"):
        LocalGke(layout.directory).start()


def test_a_certificate_that_expired_is_damaged(layout: Layout) -> None:
    for end in ("crt", "key"):
        (layout.certificates / f"administrator.{end}").unlink()
    authority = Authority(layout.certificates, "authority")
    authority.client("administrator", "local", valid=-datetime.timedelta(minutes=1))
    with pytest.raises(DamagedError, match=r"administrator.crt is damaged: it expired on \d{4}-\d\d-\d\d"):
        LocalGke(layout.directory).start()


def test_a_kubeconfig_may_have_more_than_was_written_but_must_lead_here(layout: Layout) -> None:
    gke = LocalGke(layout.directory)
    document = yaml.safe_load(layout.kubeconfig.read_text())
    document["contexts"].insert(0, {"name": "mine", "context": {"cluster": "local", "user": "local"}})
    document["contexts"][1]["context"]["namespace"] = "llm-inference"
    document["current-context"] = "mine"
    layout.kubeconfig.write_text(yaml.safe_dump(document))
    gke.assert_whole()
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    layout.kubeconfig.write_text(yaml.safe_dump(document))
    with pytest.raises(DamagedError, match="its context 'local' does not lead to this control plane"):
        gke.assert_whole()


def test_what_a_start_wrote_that_was_cut_off_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the disk was full or the start was killed, the next start goes on from there."""

    class _FullError(Exception):
        pass

    for most in range(18):
        written: list[Path] = []

        def write(path: Path, content: bytes, most: int = most, written: list[Path] = written) -> None:
            if len(written) == most:
                raise _FullError
            written.append(path)
            write_private(path, content)

        layout = Layout(tmp_path / str(most))
        layout.make()
        write_state(layout, State("standard", 60.0, Ports(1, 2, 3)))
        with monkeypatch.context() as patched:
            patched.setattr("local.gke.certificates.write_private", write)
            with pytest.raises(_FullError) if most < 17 else nullcontext():
                Credentials.of(layout)
        LocalGke(layout.directory).assert_whole()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pools": [{}]}', '{"pools": 3}', "3"])
def test_node_pools_that_cannot_be_read_are_none_until_they_are_set_again(layout: Layout, text: str) -> None:
    layout.simulation.write_text(text)
    assert read_simulation(layout) is None
    LocalGke(layout.directory).assert_whole()


@pytest.mark.parametrize("gone", ["processes", "pki", "instance.json", "lock"])
def test_a_directory_that_lost_a_part_is_still_removed(layout: Layout, gone: str) -> None:
    (layout.directory / "lock").touch()
    with sleeping(layout, recorded=False) as processes:
        remove(layout.directory / gone)
        LocalGke(layout.directory).reset()
        assert [one for one, process in processes.items() if process.poll() is None] == []
    assert not layout.directory.exists()


def test_a_lock_that_cannot_be_taken_keeps_nobody_from_removing(layout: Layout) -> None:
    (layout.directory / "lock").mkdir()
    LocalGke(layout.directory).reset()
    assert not layout.directory.exists()


def test_what_somebody_put_beside_our_files_is_not_ours_once_parts_are_gone(layout: Layout) -> None:
    shutil.rmtree(layout.certificates)
    (layout.directory / "thesis.txt").write_text("years of work")
    with pytest.raises(LocalGkeError, match="nothing was removed"):
        LocalGke(layout.directory).reset()
    assert (layout.directory / "thesis.txt").exists()
