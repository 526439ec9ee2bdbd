"""Projects in other languages, and what their programs register."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_llm_inference.preview.monitor import MonitorServer
from gke_llm_inference.preview.recorder import Recorder
from gke_llm_inference.preview.recording import Recording
from gke_llm_inference.pulumi_protocol.masking import SecretMasker
from tests.support import REPOSITORY

SCHEMA = REPOSITORY / "tests" / "provider" / "golden" / "schema.json"
EXAMPLES = REPOSITORY / "examples" / "languages"
GENERATED = ("go", "nodejs", "python")
"""Languages whose generators are Go packages; those of .NET and Java are programs of their own."""
PACKAGE = "gke-llm-inference"
TOKEN = "hf_plantedPlantedPlanted0123456789"
SETTINGS: dict[str, Any] = {
    "cluster": {"mode": "existing", "kubeconfigContext": "local"},
    "huggingFace": {"tokenSource": "config"},
    "servers": {
        "gemma": {
            "server": "vllm",
            "model": "google/gemma-7b-it",
            "accelerator": {"type": "nvidia-l4", "count": 1},
            "maxModelLen": 4096,
        }
    },
}
"""What every example passes, beside the token: what `Pulumi.local.yaml` says."""


def run(command: Sequence[str | Path], directory: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; fails with all of it."""
    ended = subprocess.run(
        [*map(str, command)],
        cwd=directory,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}"
    return ended.stdout


def example_in(directory: Path, language: str, sdk: Path | None = None) -> Path:
    """A copy of an example project with its SDK; it names the provider of this checkout."""
    shutil.copytree(EXAMPLES / language, directory, ignore=shutil.ignore_patterns("node_modules", "sdks"))
    if sdk is not None:
        shutil.copytree(sdk, directory / "sdks" / PACKAGE)
    project = directory / "Pulumi.yaml"
    text = project.read_text("utf-8")
    assert text.count("../../../provider") == 1
    project.write_text(text.replace("../../../provider", str(REPOSITORY / "provider")), "utf-8")
    return directory


@dataclass(frozen=True)
class TypeScript:
    """A project in TypeScript with its packages."""

    directory: Path

    @staticmethod
    def example_in(directory: Path, sdks: Path) -> "TypeScript":
        """A copy of the example, without packages."""
        return TypeScript(example_in(directory, "typescript", sdks / "nodejs"))

    def compile_sdk(self) -> None:
        """What the SDK's script does after an installation."""
        sdk = self.directory / "sdks" / PACKAGE
        run([self._tsc, "-p", sdk], self.directory)
        shutil.copy(sdk / "package.json", sdk / "bin")

    def problems(self, program: str | None = None) -> list[str]:
        """What the type checker says of a program, by default the example's."""
        path = self.directory / "checked.ts"
        path.write_text(program or (self.directory / "index.ts").read_text("utf-8"), "utf-8")
        config = {"extends": "./tsconfig.json", "files": ["checked.ts"]}
        (self.directory / "tsconfig.checked.json").write_text(json.dumps(config), "utf-8")
        ended = subprocess.run(
            [self._tsc, "-p", "tsconfig.checked.json", "--pretty", "false"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return [line for line in ended.stdout.splitlines() if line.startswith("checked.ts(")]

    def recorded(self) -> Recording:
        """The example, run by Pulumi's own SDK as its language host runs it."""
        recorder = Recorder("chat", "test", SecretMasker())
        with MonitorServer(recorder) as server:
            options = {"monitor": server.address, "engine": server.address, "project": "chat", "stack": "test"}
            flags = [f"--{name}={value}" for name, value in options.items()]
            run(
                ["node", "node_modules/@pulumi/pulumi/cmd/run", *flags, "--dry-run", "index.ts"],
                self.directory,
                {
                    "PULUMI_CONFIG": json.dumps({"chat:huggingFaceToken": TOKEN}),
                    "PULUMI_CONFIG_SECRET_KEYS": json.dumps(["chat:huggingFaceToken"]),
                },
            )
        return recorder.finish()

    @property
    def _tsc(self) -> Path:
        return self.directory / "node_modules" / ".bin" / "tsc"
