"""Custom resource definitions that Go modules carry beside their code."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from local.binaries.build import Progress
from local.binaries.cache import cache_directory, locked
from local.binaries.errors import WAYS, BinariesError
from local.binaries.programs import GoModule
from local.binaries.toolchain import environment, find_go

_MODULE = GoModule("gateway", "sigs.k8s.io/gateway-api")
# Of each module, the definitions that GKE's clusters have, or that are installed beside them.
_FILES = {
    "github.com/kedacore/http-add-on": ["config/crd/bases/http.keda.sh_interceptorroutes.yaml"],
    "github.com/kedacore/keda/v2": [
        f"config/crd/bases/keda.sh_{plural}.yaml" for plural in ("scaledobjects", "triggerauthentications")
    ],
    "sigs.k8s.io/gateway-api": [
        f"config/crd/standard/gateway.networking.k8s.io_{plural}.yaml"
        for plural in ("gatewayclasses", "gateways", "httproutes", "referencegrants")
    ],
    "sigs.k8s.io/lws": ["config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"],
    "sigs.k8s.io/gateway-api-inference-extension": [
        "config/crd/bases/inference.networking.k8s.io_inferencepools.yaml",
    ],
}


def gateway_definitions(progress: Progress = lambda _line: None) -> list[dict[str, Any]]:
    """Definitions of the Gateway API, InferencePool, LeaderWorkerSet and KEDA, from pinned modules or the cache.

    Raises:
        BinariesError: they are not in the cache, and Go cannot get them.

    """
    path = cache_directory() / f"{_MODULE.key}-bare.json"
    try:
        with locked(path, lambda: progress("Gateway API definitions: another process gets them; waiting")):
            if not path.exists():
                progress("Gateway API definitions: getting them from their Go modules")
                part = path.with_name(f"{path.name}.part")
                part.write_text(json.dumps(_download(progress)), "utf-8")
                part.replace(path)
    except OSError as error:
        raise BinariesError(f"the Gateway API's definitions could not be kept in {path.parent}: {error}") from error
    definitions: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return definitions


def _download(progress: Progress) -> list[dict[str, Any]]:
    go = find_go(_MODULE.go_version, progress)
    sums = (_MODULE.directory / "go.sum").read_text("utf-8")
    definitions = []
    for name, version, checksum in re.findall(r"^(\S+) (v\S+) (h1:\S+)$", sums, re.MULTILINE):
        if version.endswith("/go.mod"):
            continue
        answer = subprocess.run(
            [go, "mod", "download", "-json", f"{name}@{version}"],
            cwd=_MODULE.directory,
            env=environment(go),
            capture_output=True,
            text=True,
            check=False,
        )
        got = json.loads(answer.stdout) if answer.stdout else {}
        if answer.returncode or got.get("Sum") != checksum:
            reason = got.get("Error") or answer.stderr.strip() or f"its checksum is {got.get('Sum')}, not {checksum}"
            raise BinariesError(
                f"{name} {version} could not be had: {reason}\n{WAYS.format(go=_MODULE.go_version)}\n"
                "The definitions of custom resources need one of the last two."
            )
        definitions += [_bare(yaml.safe_load(Path(got["Dir"], file).read_text("utf-8"))) for file in _FILES[name]]
    return definitions


def _bare(value: Any) -> Any:
    """A definition without its prose, most of its size; a property that is named description stays."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if not (key == "description" and isinstance(item, str))}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value
