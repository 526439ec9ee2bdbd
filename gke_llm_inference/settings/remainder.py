"""What is left of a configuration without what is wrong in it, so that the rest can be planned and judged as well."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.parse import parse_settings
from gke_llm_inference.settings.server_files import with_files
from gke_llm_inference.settings.servers import apart_with
from gke_llm_inference.settings.stack import StackSettings

_ENTRIES = ("servers", "nodePools")
# What is known of load balancers whose settings are wrong: that there may be some, as those of servers say.
_SOME_GATEWAY = {
    "tls": {"source": "secret", "secretName": "unknown"},
    "proxySubnet": {"mode": "existing", "cidr": "240.0.0.0/24"},
}
# What is known of a token, and of a store, whose settings are wrong: that there is to be one.
_SOME = {
    "huggingFace": {"tokenSource": "existingSecret"},
    "modelStore": {
        "bucket": {"mode": "existing", "name": "unknown", "location": "us"},
        "projectNumber": "000000",
    },
}


@dataclass(frozen=True)
class Remainder:
    """Settings without what is wrong.

    Attributes:
        settings: the rest; a node pool is there as a whole or not at all, and so is a server, but for settings that
            nothing else rests on.
        has_all_pools: whether no node pool is missing, so that a server without one has none.
        problems: problems of the rest that only showed once the others were out of the way.
        incomplete: what is wrong with the settings that a server is there without, by server.

    """

    settings: StackSettings
    has_all_pools: bool
    problems: tuple[Finding, ...] = ()
    incomplete: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)

    def is_certain(self, path: str) -> bool:
        """Whether what is said of a path rests on nothing that is missing here."""
        name, setting = _place(self.incomplete, path.removeprefix("servers"))
        missing = (_place((name,), one.path.removeprefix("servers"))[1] for one in self.incomplete.get(name, ()))
        return apart_with(setting).isdisjoint(missing)


def remainder_of(raw: Mapping[str, Any], problems: Iterable[Finding], directory: Path) -> Remainder | None:
    """The rest of a configuration; None where what is wrong leaves nothing to judge.

    Of a server or a node pool, a setting is taken out by itself first: what is checked of all of its settings together
    is only checked where each of them can be read.

    Args:
        raw: the configuration, by key without namespace.
        problems: everything that was found of it.
        directory: the project's directory, where the paths of `configFile` and `calibration` start.

    """
    rest = _Rest(copy.deepcopy(dict(raw)))
    wrong: tuple[Finding, ...] = tuple(problems)
    before: dict[str, Any] = {}
    while wrong and rest.raw != before:
        before = copy.deepcopy(rest.raw)
        if not rest.take_out(wrong):
            return None
        try:
            with_files(parse_settings(rest.raw), directory)
            break
        except Refusal as refusal:
            wrong = refusal.problems
            rest.note(wrong)
    incomplete = rest.whole_or_almost()
    try:
        settings = with_files(parse_settings(rest.raw), directory)
    except Refusal:
        return None  # what is wrong is needed
    has_all_pools = not any(section == "nodePools" for section, _ in rest.wrong)
    return Remainder(settings, has_all_pools, tuple(rest.found), incomplete)


class _Rest:
    """A configuration that gets smaller until it can be read."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.found: list[Finding] = []
        """What only showed once something else was out of the way."""
        self.wrong: dict[tuple[str, str], dict[str, list[Finding]]] = {}
        """Settings that are wrong of each server and node pool, by section and name."""
        self._sections: set[str] = set()

    def take_out(self, problems: Iterable[Finding]) -> bool:
        """Remove what problems are about; false where that cannot be told."""
        known = {place: set(wrong) for place, wrong in self.wrong.items()}
        taken = [self._take_out(problem, known) for problem in problems]
        return all(taken)

    def note(self, problems: Iterable[Finding]) -> None:
        """Remember problems that are not for want of what was taken out."""
        for problem in problems:
            section = _section_of(problem.path)
            name, setting = _place(self.raw.get(section, ()), problem.path.removeprefix(section))
            missing = self.wrong.get((section, name), {}).keys()
            is_want = section in self._sections or bool(missing & {setting, *apart_with(setting)})
            if not is_want and (setting or not missing):
                self.found.append(problem)

    def whole_or_almost(self) -> dict[str, tuple[Finding, ...]]:
        """Remove servers and node pools that lack a setting which others rest on; what is wrong with the others."""
        incomplete = {}
        for (section, name), wrong in self.wrong.items():
            if section == "servers" and name in self.raw[section] and all(map(apart_with, wrong)):
                incomplete[name] = tuple(problem for problems in wrong.values() for problem in problems)
            else:
                self.raw[section].pop(name, None)
        return incomplete

    def _take_out(self, problem: Finding, known: Mapping[tuple[str, str], set[str]]) -> bool:
        section = _section_of(problem.path)
        if section in _ENTRIES:
            return self._take_out_setting(section, problem, known)
        self._sections.add(section)
        if section in _SOME:
            self.raw[section] = _SOME[section]
            return True
        if section == "gateway":
            self.raw[section] = _SOME_GATEWAY
            servers = self.raw.get("servers")
            for index, server in enumerate(servers.values() if isinstance(servers, dict) else ()):
                if isinstance(server, dict) and server.setdefault("exposure", "none") != "none":
                    # What the gateway would have given is not missing.
                    server.setdefault("hostname", f"server-{index}.invalid")
            return True
        if section == "cluster":
            cluster = self.raw.get(section)
            key = problem.path.removeprefix(f"{section}.").partition(".")[0].partition("[")[0]
            if not isinstance(cluster, dict) or key == section:
                return False
            cluster.pop(key, None)
            return True
        self.raw.pop(section, None)
        return bool(problem.path) and section != "configuration"

    def _take_out_setting(self, section: str, problem: Finding, known: Mapping[tuple[str, str], set[str]]) -> bool:
        """Remove a setting of a server or node pool; all of it where that alone has not helped, or is none."""
        entries = self.raw.get(section)
        path = problem.path.removeprefix(section)
        if not isinstance(entries, dict) or not path:
            return False
        name, setting = _place(entries, path)
        if not name:
            return True  # taken out before
        wrong = self.wrong.setdefault((section, name), {})
        entry = entries[name]
        if setting in known.get((section, name), ()) or not isinstance(entry, dict) or not setting:
            del entries[name]
        elif setting in entry:
            del entry[setting]
        elif setting not in wrong:
            del entries[name]  # missing
        wrong.setdefault(setting, []).append(problem)
        return True


def _section_of(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _place(names: Iterable[str], path: str) -> tuple[str, str]:
    """The server or node pool that a path is in, without its section, and the setting there; empty where it is none."""
    # Names may have dots in them: the longest is meant.
    named = [name for name in names if path == f".{name}" or path.startswith((f".{name}.", f".{name}["))]
    if not named:
        return "", ""
    name = max(named, key=len)
    return name, _section_of(path.removeprefix(f".{name}").removeprefix("."))
