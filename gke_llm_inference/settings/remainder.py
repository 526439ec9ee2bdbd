"""What is left of a configuration without what is wrong in it, so that the rest can be planned and judged as well."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.parse import parse_settings
from gke_llm_inference.settings.server_files import with_files
from gke_llm_inference.settings.stack import StackSettings

_ENTRIES = ("servers", "nodePools")
# What is known of load balancers whose settings are wrong: that there may be some, as those of servers say.
_SOME_GATEWAY = {
    "tls": {"source": "secret", "secretName": "unknown"},
    "proxySubnet": {"mode": "existing", "cidr": "240.0.0.0/24"},
}
# What is known of a store whose settings are wrong: that there is to be one.
_SOME_STORE = {
    "bucket": {"mode": "existing", "name": "unknown", "location": "us"},
    "projectNumber": "000000",
}
# What is known of a token whose settings are wrong: that there is to be one.
_SOME_TOKEN = {"tokenSource": "existingSecret"}


@dataclass(frozen=True)
class Remainder:
    """Settings without what is wrong.

    Attributes:
        settings: the rest; servers and node pools are there as a whole or not at all.
        has_all_pools: whether no node pool is missing, so that a server without one has none.
        problems: problems of the rest that only showed once the others were out of the way.

    """

    settings: StackSettings
    has_all_pools: bool
    problems: tuple[Finding, ...] = ()


def remainder_of(raw: Mapping[str, Any], problems: Iterable[Finding], directory: Path) -> Remainder | None:
    """The rest of a configuration; None where what is wrong leaves nothing to judge.

    Args:
        raw: the configuration, by key without namespace.
        problems: everything that was found of it.
        directory: the project's directory, where the paths of `configFile` and `calibration` start.

    """
    rest = copy.deepcopy(dict(raw))
    whole_pools = True
    for problem in problems:
        if not _take_out(rest, problem.path):
            return None
        whole_pools = whole_pools and not problem.path.startswith("nodePools")
    found: tuple[Finding, ...] = ()
    try:
        settings = parse_settings(rest)
        try:
            settings = with_files(settings, directory)
        except Refusal as refusal:
            found = refusal.problems
            for problem in found:
                _take_out(rest, problem.path)
            settings = with_files(parse_settings(rest), directory)
    except Refusal:
        return None  # what is wrong is needed
    return Remainder(settings, whole_pools, found)


def _take_out(raw: dict[str, Any], path: str) -> bool:
    """Remove what a problem is about, and no less than a whole server or node pool; false where that cannot be told."""
    section = path.partition(".")[0].partition("[")[0]
    if section in _ENTRIES:
        return _take_out_entry(raw.get(section), path.removeprefix(section))
    if section == "huggingFace":
        raw[section] = _SOME_TOKEN
        return True
    if section == "modelStore":
        raw[section] = _SOME_STORE
        return True
    if section == "gateway":
        raw[section] = _SOME_GATEWAY
        servers = raw.get("servers")
        for index, server in enumerate(servers.values() if isinstance(servers, dict) else ()):
            if isinstance(server, dict) and server.setdefault("exposure", "none") != "none":
                # What the gateway would have given is not missing.
                server.setdefault("hostname", f"server-{index}.invalid")
        return True
    if section == "cluster":
        cluster, key = raw.get(section), path.removeprefix(f"{section}.").partition(".")[0].partition("[")[0]
        if not isinstance(cluster, dict) or key == section:
            return False
        cluster.pop(key, None)
        return True
    raw.pop(section, None)
    return bool(path) and section != "configuration"


def _take_out_entry(entries: Any, path: str) -> bool:
    if not isinstance(entries, dict):
        return False
    # Names may have dots in them: the longest is meant.
    named = [name for name in entries if path == f".{name}" or path.startswith((f".{name}.", f".{name}[")) or not path]
    if path and not named:
        return True  # taken out before
    if not path:
        return False
    entries.pop(max(named, key=len))
    return True
