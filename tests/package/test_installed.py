"""The package as a team gets it: built, installed into an environment of its own, used next to files of the same names.

Skipped unless TEST_PACKAGE is 1, as `make test-package` sets: an installation downloads and takes a minute or two.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import REPOSITORY

pytestmark = pytest.mark.skipif(os.environ.get("TEST_PACKAGE") != "1", reason="make test-package runs it")

OWN_FILES = {
    "settings.py": 'REGION = "europe-west4"\nNAMESPACE = "acme-models"\n',
    "policy/__init__.py": 'raise AssertionError("the package imported a file of the team\'s")\n',
    "components/__init__.py": 'OWNER = "acme"\n',
    "planning.py": 'raise AssertionError("the package imported a file of the team\'s")\n',
    "catalog.py": 'raise AssertionError("the package imported a file of the team\'s")\n',
}

TWO_SERVERS = """\
import pulumi
from gke_llm_inference import StackIdentity, parse_settings, plan_stack
from gke_llm_inference.components import create_stack
from settings import REGION
from components import OWNER
servers = {
    "chat": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 8192},
    "legacy": {"server": "tgi", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096},
}
cluster = {"mode": "autopilot", "location": REGION, "labels": {"owner": OWNER}}
settings = parse_settings({"cluster": cluster, "servers": servers})
identity = StackIdentity(pulumi.get_project(), pulumi.get_stack(), gcp_project="my-project")
stack = create_stack(plan_stack(settings, identity))
pulumi.export("servers", stack.outputs["servers"])
"""

ONE_SERVER = """\
import pulumi
import pulumi_kubernetes as kubernetes
from gke_llm_inference import StackIdentity, parse_settings, plan_stack
from gke_llm_inference.components import InferenceServer, InferenceServerArgs
from settings import NAMESPACE
server = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 8192}
cluster = {"mode": "existing", "kubeconfigContext": "acme", "profile": "autopilot"}
settings = parse_settings({"cluster": cluster, "namespace": NAMESPACE, "servers": {"chat": server}})
plan = plan_stack(settings, StackIdentity(pulumi.get_project(), pulumi.get_stack()))
acme = kubernetes.Provider("acme", context="acme", kubeconfig="acme.kubeconfig")
on_acme = pulumi.ResourceOptions(provider=acme)
home = kubernetes.core.v1.Namespace("home", metadata={"name": NAMESPACE}, opts=on_acme)
args = InferenceServerArgs(plan=plan.servers[0], after=[home])
chat = InferenceServer("chat", args, pulumi.ResourceOptions(providers=[acme]))
pulumi.export("url", chat.url)
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the package, and the distributions that it came from."""

    python: Path
    wheel: Path
    sdist: Path

    def run(self, arguments: list[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
        """A program of the environment; nothing of the checkout is on its path."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
        return subprocess.run(
            list(map(str, arguments)),
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def command(self, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """The installed command."""
        return self.run([self.python.with_name("gke-llm-inference"), *arguments], cwd)


def pip(python: Path, *arguments: str | Path) -> None:
    base = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    subprocess.run([*map(str, base), *map(str, arguments)], check=True, timeout=600)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    directory = tmp_path_factory.mktemp("package")
    # A copy: building leaves folders behind, and what git ignores must not get in.
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file() and not name.startswith("tests/"):
            (directory / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, directory / "source" / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory / "dist"), "."]
    subprocess.run(build, cwd=directory / "source", check=True, capture_output=True, timeout=300)
    (wheel,) = (directory / "dist").glob("*.whl")
    (sdist,) = (directory / "dist").glob("*.tar.gz")
    venv.create(directory / "venv", with_pip=True)
    python = directory / "venv" / "bin" / "python"
    pip(python, "--constraint", _constraints(directory), wheel)
    yield Installed(python, wheel, sdist)
    shutil.rmtree(directory)


def _constraints(directory: Path) -> Path:
    """The versions of the lock file, without its hashes, which a wheel made here could not have."""
    locked = [
        line.partition(" \\")[0]
        for line in (REPOSITORY / "requirements.txt").read_text("utf-8").splitlines()
        if "==" in line
    ]
    path = directory / "constraints.txt"
    path.write_text("\n".join(line for line in locked if not line.startswith((" ", "#"))) + "\n")
    return path


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A team's directory, outside the repository, with files of the names that the package has inside."""
    for name, text in OWN_FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "Pulumi.yaml").write_text("name: acme\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    return tmp_path


def preview(installed: Installed, team: Path, program: str) -> dict[str, Any]:
    assert len(program.splitlines()) <= 15
    (team / "__main__.py").write_text(program)
    ended = installed.command("preview", "--stack", "dev", "--out", "out", "--json", cwd=team)
    assert (ended.returncode, ended.stderr) == (0, "")
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def registered(team: Path) -> list[tuple[str, str]]:
    resources = json.loads((team / "out" / "resources.json").read_text("utf-8"))["resources"]
    return [(one["type"], one["name"]) for one in resources]


def test_one_top_level_name_is_installed_typed_and_small(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
    (info,) = {name.partition("/")[0] for name in names} - {"gke_llm_inference"}
    assert info.endswith(".dist-info")
    assert f"{info}/licenses/LICENSE" in names
    assert "gke_llm_inference/py.typed" in names
    assert "gke_llm_inference/catalog/models/llama.yaml" in names
    assert "gke_llm_inference/components/inference_server.py" in names
    assert installed.wheel.stat().st_size < 1_300_000
    assert installed.sdist.stat().st_size < 1_300_000


def test_every_file_of_the_package_is_in_the_wheel(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = {name for name in wheel.namelist() if name.startswith("gke_llm_inference/")}
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "gke_llm_inference", "components"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {
        f"gke_llm_inference/{name}" if name.startswith("components/") else name
        for name in listed.stdout.splitlines()
        if name != "gke_llm_inference/components/__init__.py"
        and (REPOSITORY / name).is_file()
        and not name.endswith(".gz")  # what constants are fitted to, which an installed package never does
    }
    assert names == expected


def test_the_source_distribution_makes_the_same_package(installed: Installed, tmp_path: Path) -> None:
    with tarfile.open(installed.sdist) as sdist:
        assert {name.partition("/")[0] for name in sdist.getnames()} == {installed.sdist.name.removesuffix(".tar.gz")}
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip(python, "setuptools>=80")
    pip(python, "--no-deps", "--no-build-isolation", installed.sdist)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(installed.wheel) as wheel:
        expected = {name: wheel.read(name) for name in wheel.namelist() if name.startswith("gke_llm_inference/")}
    found = {
        str(path.relative_to(site)): path.read_bytes()
        for path in (site / "gke_llm_inference").rglob("*")
        if path.is_file()
    }
    assert found == expected


def test_an_autopilot_cluster_with_two_servers_is_previewed(installed: Installed, team: Path) -> None:
    document = preview(installed, team, TWO_SERVERS)
    assert document["exports"]["servers"] == {
        "chat": "http://chat.llm-inference.svc.cluster.local:8000",
        "legacy": "http://legacy.llm-inference.svc.cluster.local:8000",
    }
    resources = registered(team)
    assert ("gcp:container/cluster:Cluster", "gke-cluster") in resources
    assert ("kubernetes:core/v1:Namespace", "llm-inference") in resources
    assert sorted(name for type_, name in resources if type_ == "kubernetes:apps/v1:Deployment") == [
        "chat-deployment",
        "legacy-deployment",
    ]
    (file,) = (team / "out" / "manifests").glob("*deployment*chat*")
    assert yaml.safe_load(file.read_text("utf-8"))["metadata"]["namespace"] == "llm-inference"


def test_one_server_is_previewed_on_a_cluster_and_in_a_namespace_of_the_teams_own(
    installed: Installed, team: Path
) -> None:
    document = preview(installed, team, ONE_SERVER)
    assert document["exports"] == {"url": "http://chat.acme-models.svc.cluster.local:8000"}
    assert sorted(registered(team)) == [
        ("gke-llm-inference:index:InferenceServer", "chat"),
        ("kubernetes:apps/v1:Deployment", "chat-deployment"),
        ("kubernetes:core/v1:Namespace", "home"),
        ("kubernetes:core/v1:Service", "chat-service"),
        ("kubernetes:core/v1:ServiceAccount", "chat-account"),
        ("kubernetes:networking.k8s.io/v1:NetworkPolicy", "chat-network-policy"),
        ("pulumi:providers:kubernetes", "acme"),
        ("pulumi:pulumi:Stack", "acme-dev"),
    ]


def test_a_refusal_comes_with_every_problem_and_registers_nothing(installed: Installed, team: Path) -> None:
    program = TWO_SERVERS.replace('"maxModelLen": 8192', '"maxModelLength": 8192').replace('"tgi"', '"tgj"')
    (team / "__main__.py").write_text(program)
    ended = installed.command("preview", "--stack", "dev", "--out", "out", cwd=team)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "did you mean maxModelLen?" in ended.stderr
    assert "servers.legacy" in ended.stderr
    assert not (team / "out").exists()


def test_the_command_needs_no_project_for_a_stack_file(installed: Installed, tmp_path: Path) -> None:
    shutil.copy2(REPOSITORY / "examples" / "guide" / "Pulumi.vllm-7b-awq.yaml", tmp_path)
    ended = installed.command("plan", "--config-file", "Pulumi.vllm-7b-awq.yaml", "--json", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [server["server"] for server in json.loads(ended.stdout)["servers"].values()] == ["vllm"]


def test_two_revisions_are_compared_and_no_file_of_the_teams_runs_but_the_program(
    installed: Installed, team: Path
) -> None:
    ran = "from pathlib import Path\nPath(__file__).with_name('has-run').touch()\n"
    (team / "planning.py").write_text(ran)
    (team / "__main__.py").write_text(TWO_SERVERS)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "before"]):
        assert installed.run([*git, *arguments], team).returncode == 0
    (team / "__main__.py").write_text(TWO_SERVERS.replace("8192", "4096"))
    ended = installed.command("diff", "--stack", "dev", "--base", "HEAD", "--json", cwd=team)
    assert (ended.returncode, ended.stderr) == (0, "")
    (stack,) = json.loads(ended.stdout)["stacks"]
    assert stack["outcome"] == "compared"
    assert stack["tally"]["changed"] == 1
    assert not (team / "has-run").exists()


def test_a_project_made_from_nothing_previews(installed: Installed, tmp_path: Path) -> None:
    answers = [
        "--mode",
        "autopilot",
        "--region",
        "us-central1",
        "--model",
        "Qwen/Qwen2.5-7B-Instruct",
        "--goal",
        "cost",
    ]
    made = installed.command("new", "--project", "chat", *answers, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    shown = installed.command("preview", "--stack", "dev", "--json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["exports"]["namespace"] == "llm-inference"
    checked = installed.command("policy", "--stack", "dev", cwd=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_other_peoples_type_checkers_see_types(installed: Installed, team: Path) -> None:
    (team / "typed.py").write_text(
        "from gke_llm_inference import StackSettings, parse_settings\n"
        "settings: StackSettings = parse_settings({})\n"
        "wrong: int = settings.namespace\n"
    )
    checked = installed.run(
        [sys.executable, "-m", "mypy", "--python-executable", installed.python, "--no-incremental", "typed.py"], team
    )
    assert checked.stdout.splitlines() == [
        'typed.py:3: error: Incompatible types in assignment (expression has type "str", variable has type "int")'
        "  [assignment]",
        "Found 1 error in 1 file (checked 1 source file)",
    ]
