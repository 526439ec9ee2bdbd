"""Recordings that tests share, ways to look into them, and golden files."""

import fcntl
import hashlib
import os
import pickle
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest

from gke_llm_inference.preview.process import Interpreter
from gke_llm_inference.preview.recording import Recording, Resource
from gke_llm_inference.preview.run import record
from gke_llm_inference.pulumi_project.project import load_project, load_stack
from gke_llm_inference.pulumi_protocol.urn import STACK_TYPE
from gke_llm_inference.settings.effective import effective_settings
from gke_llm_inference.settings.stack_config import configuration_of
from tests.warm_python import warm_python

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = "gke-llm-inference"
STACKS = ("dev", "staging", "prod", "local")
GUIDE = REPOSITORY / "examples" / "guide"
ACCESS = REPOSITORY / "examples" / "access"
COLD_START = REPOSITORY / "examples" / "cold-start"
EMBEDDINGS = REPOSITORY / "examples" / "embeddings"
ADAPTERS = REPOSITORY / "examples" / "adapters"
UPDATE = "UPDATE_GOLDEN"
"""With this variable set to 1 in the environment, golden files are written anew instead of compared."""

GKE_CLUSTER = f"{PROJECT}:index:GkeCluster"
GPU_NODE_POOL = f"{PROJECT}:index:GpuNodePool"
HUGGING_FACE_TOKEN = f"{PROJECT}:index:HuggingFaceToken"
INFERENCE_SERVER = f"{PROJECT}:index:InferenceServer"
INFERENCE_STACK = f"{PROJECT}:index:InferenceStack"
NETWORK = f"{PROJECT}:index:Network"
NODE_IDENTITY = f"{PROJECT}:index:NodeIdentity"

ACCOUNT = "gcp:serviceaccount/account:Account"
CLUSTER = "gcp:container/cluster:Cluster"
IAM_MEMBER = "gcp:projects/iAMMember:IAMMember"
NODE_POOL = "gcp:container/nodePool:NodePool"
SECRET_IAM_MEMBER = "gcp:secretmanager/secretIamMember:SecretIamMember"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
DISRUPTION_BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
KUBERNETES_PROVIDER = "pulumi:providers:kubernetes"
FQDN_NETWORK_POLICY = "kubernetes:networking.gke.io/v1alpha1:FQDNNetworkPolicy"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
NAMESPACE = "kubernetes:core/v1:Namespace"
SECRET = "kubernetes:core/v1:Secret"
SERVICE = "kubernetes:core/v1:Service"
SERVICE_ACCOUNT = "kubernetes:core/v1:ServiceAccount"


@dataclass(frozen=True)
class Shared:
    """Results that are slow to get: each is made once in a test run, by whichever process asks first."""

    directory: Path

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What `make` returned when it was first called for this key."""
        path = self.directory / f"{_digest(key)}.pickle"
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                path.write_bytes(pickle.dumps(make()))
            made: T = pickle.loads(path.read_bytes())
        return made

    def directory_of(self, key: str) -> Path:
        """A directory for what is made under this key."""
        directory = self.directory / _digest(key)
        directory.mkdir(exist_ok=True)
        return directory


@dataclass(frozen=True)
class Recordings:
    """Recordings of programs, each made once in a test run."""

    shared: Shared

    def stack(self, name: str) -> Recording:
        """The real program with a stack of the repository."""
        return self._once(f"stack {name}", lambda: _record(REPOSITORY, name))

    def config(self, text: str) -> Recording:
        """The real program with the text of a stack file, as stack `test`."""

        def make() -> Recording:
            path = self.shared.directory_of(text) / "Pulumi.test.yaml"
            path.write_text(text, encoding="utf-8")
            return _record(REPOSITORY, config_file=path)

        return self._once(text, make)

    def file(self, path: Path) -> Recording:
        """The real program with a stack file, whose name gives the stack's."""
        return self._once(f"file {path}", lambda: _record(REPOSITORY, config_file=path))

    def program(self, file: Path) -> Recording:
        """Another program that uses this repository's packages, as stack `test` without configuration."""

        def make() -> Recording:
            project = project_with(self.shared.directory_of(str(file)), file)
            with mock.patch.dict(os.environ, {"PYTHONPATH": str(REPOSITORY)}):
                return _record(project, "test")

        return self._once(str(file), make)

    def _once(self, key: str, make: Callable[[], Recording]) -> Recording:
        def kept() -> dict[str, Any]:
            # Without the masker: its lock cannot be written, its secrets should not be.
            recording = make()
            return {item.name: getattr(recording, item.name) for item in fields(recording) if item.name != "masker"}

        return Recording(**self.shared.once(key, kept))


def _record(project: Path, stack: str | None = None, config_file: Path | None = None) -> Recording:
    return record(project, stack, config_file, interpreter=Interpreter(warm_python()))


def effective_of(file: Path) -> dict[str, Any]:
    """The settings of a stack file as they take effect, its base and all defaults included."""
    project = load_project(REPOSITORY)
    stack = load_stack(project, None, file)
    return effective_settings(configuration_of(stack.values, stack.secret_keys, project.name, project.directory))


def project_with(directory: Path, program: Path) -> Path:
    """Makes a Pulumi project of a directory, with a copy of `program` and an empty stack `test`."""
    (directory / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n", encoding="utf-8")
    (directory / "Pulumi.test.yaml").write_text("config: {}\n", encoding="utf-8")
    (directory / "__main__.py").write_text(program.read_text(encoding="utf-8"), encoding="utf-8")
    return directory


def preview_command(arguments: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """`python -m gke_llm_inference preview` in a process of its own, from the repository."""
    return subprocess.run(
        [warm_python(), "-m", "gke_llm_inference", "preview", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def files_below(directory: Path) -> dict[str, bytes]:
    """Every file of a directory and its content, by relative path."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


def find(recording: Recording, type_: str, name: str) -> Resource:
    """The one resource of a type with a name."""
    found = [resource for resource in recording.resources if (resource.type, resource.name) == (type_, name)]
    assert len(found) == 1, f"{len(found)} × {type_} {name}"
    return found[0]


def of_type(recording: Recording, type_: str) -> list[Resource]:
    """Every resource of a type, sorted by URN."""
    return [resource for resource in recording.resources if resource.type == type_]


def children(recording: Recording, parent: Resource) -> list[Resource]:
    """What has `parent` for its parent, sorted by URN."""
    return [resource for resource in recording.resources if resource.parent == parent.urn]


def shape(recording: Recording, parent: Resource) -> set[tuple[str, str]]:
    """Type and name of everything directly below `parent`."""
    below = children(recording, parent)
    pairs = {(resource.type, resource.name) for resource in below}
    assert len(pairs) == len(below)
    return pairs


def names_of(urns: Sequence[str]) -> list[str]:
    """The names in URNs, sorted."""
    return sorted(urn.rpartition("::")[2] for urn in urns)


def kubernetes_objects(recording: Recording) -> list[Resource]:
    """Every registration that stands for a Kubernetes object."""
    return [resource for resource in recording.resources if resource.type.startswith("kubernetes:")]


def root_urn(recording: Recording) -> str:
    """URN of the stack itself."""
    (root,) = of_type(recording, STACK_TYPE)
    return root.urn


def expect_golden(path: Path, text: str) -> None:
    """Compares a text with a golden file; `UPDATE_GOLDEN=1 pytest` writes the file instead."""
    if os.environ.get(UPDATE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    assert path.exists(), f"{path} is missing; make it with {UPDATE}=1"
    assert text == path.read_text(encoding="utf-8"), f"differs from {path.name}; if it should, use {UPDATE}=1"


def shared_directory(factory: pytest.TempPathFactory, name: str) -> Path:
    """A directory that all processes of one test run share."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    directory = base / name
    directory.mkdir(exist_ok=True)
    return directory


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
