"""Which programs there are, and the Go modules that they are built from."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

_GO = Path(__file__).resolve().parent / "go"
_KUBERNETES_FLAGS = (
    "k8s.io/component-base/version.gitVersion=v{version}",
    "k8s.io/component-base/version.gitMajor={major}",
    "k8s.io/component-base/version.gitMinor={minor}",
    "k8s.io/component-base/version.gitTreeState=clean",
)


@dataclass(frozen=True)
class GoModule:
    """A module of `local/binaries/go` that pins what programs are built from; go.sum has the checksums.

    Attributes:
        name: its directory's name.
        source: path of the Go module whose version is the programs' version.
        variables: variables of the programs that the linker sets, so that they tell their version.
        embedded: files that its own program embeds: the name here, and the path inside `source`. They are not
            committed; a build takes them from there.
        sdk: the Python package that its program serves. The engine warns of a plugin that tells an older version.

    """

    name: str
    source: str
    variables: tuple[str, ...] = ()
    embedded: tuple[tuple[str, str], ...] = ()
    sdk: str = ""

    @property
    def directory(self) -> Path:
        """Where its go.mod is."""
        return _GO / self.name

    @property
    def version(self) -> str:
        """The pinned version of `source`, such as 1.36.3."""
        return _pinned(self.directory / "go.mod", rf"^(?:require\s+|\t){re.escape(self.source)} v(\S+)")

    @property
    def go_version(self) -> str:
        """The oldest Go that builds it, such as 1.26.0."""
        return _pinned(self.directory / "go.mod", r"^go (\S+)")

    @property
    def linker_flags(self) -> str:
        """Flags of Go's linker: no debug symbols, and the version."""
        major, minor, *_ = self.version.split(".")
        sdk = metadata.version(self.sdk) if self.sdk else ""
        values = [one.format(version=self.version, major=major, minor=minor, sdk=sdk) for one in self.variables]
        return " ".join(["-s", "-w", *(f"-X={value}" for value in values)])

    @property
    def key(self) -> str:
        """Name of the cache's directory: other pins or flags are other programs."""
        digest = hashlib.sha256(self.linker_flags.encode())
        for path in (self.directory / name for name in ("go.mod", "go.sum", "main.go")):
            digest.update(path.read_bytes() if path.exists() else b"")
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class Program:
    """A program, and how to tell whether one that lies about is the right one.

    Attributes:
        package: the Go package that it is built from.
        version_arguments: arguments with which it prints its version; None for a plugin or a program of ours, which
            print none. Such a one is taken from PATH as it is.

    """

    name: str
    module: GoModule
    package: str
    version_arguments: tuple[str, ...] | None = ("--version",)


_KUBERNETES = GoModule("kubernetes", "k8s.io/kubernetes", _KUBERNETES_FLAGS)
_ETCD = GoModule("etcd", "go.etcd.io/etcd/server/v3")
_KWOK = GoModule("kwok", "sigs.k8s.io/kwok")
_PULUMI = GoModule(
    "pulumi",
    "github.com/pulumi/pulumi/pkg/v3",
    ("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}",),
)
_PULUMI_KUBERNETES = GoModule(
    "pulumi-kubernetes",
    "github.com/pulumi/pulumi-kubernetes/provider/v4",
    ("github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version={version}", "main.sdk={sdk}"),
    (("schema.json", "cmd/pulumi-resource-kubernetes/schema.json"),),
    "pulumi-kubernetes",
)
_PULUMI_YAML = GoModule(
    "pulumi-yaml", "github.com/pulumi/pulumi-yaml", ("github.com/pulumi/pulumi-yaml/pkg/version.Version=v{version}",)
)
_PROMETHEUS = GoModule("prometheus", "github.com/prometheus/prometheus")

PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", _ETCD, "go.etcd.io/etcd/server/v3"),
        Program("kube-apiserver", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver"),
        Program("kube-controller-manager", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Program("kube-scheduler", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler"),
        Program("kwok", _KWOK, "sigs.k8s.io/kwok/cmd/kwok"),
        Program("pulumi", _PULUMI, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", ("version",)),
        Program("pulumi-resource-kubernetes", _PULUMI_KUBERNETES, "gke-llm-inference/binaries/pulumi-kubernetes", None),
        Program("pulumi-language-yaml", _PULUMI_YAML, "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml", None),
        Program("promql-engine", _PROMETHEUS, "gke-llm-inference/binaries/prometheus", None),
    )
}
"""Every program by its name."""


@cache
def _pinned(path: Path, pattern: str) -> str:
    match = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
    assert match is not None, f"{path} does not pin {pattern}"
    return match.group(1)
