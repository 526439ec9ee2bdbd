"""Holds what kube-score finds in manifests against the findings that are accepted, each with its reason.

`kube-score score --output-format json FILE... | python -m tools.manifest_findings`
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_ACCEPTED = Path(__file__).with_name("accepted_findings.yaml")
_CRITICAL = 1


def accepted_findings() -> dict[str, str]:
    """Reasons of the accepted findings, by kube-score's id of the check."""
    reasons: dict[str, str] = yaml.safe_load(_ACCEPTED.read_text("utf-8"))
    return reasons


def differences(score: Iterable[Mapping[str, Any]], accepted: Mapping[str, str]) -> Iterator[str]:
    """What is found and not accepted, then what is accepted and not found, each sorted.

    Args:
        score: objects as kube-score prints them in JSON.
        accepted: the reasons.

    """
    found: dict[str, set[str]] = {}
    for scored in score:
        for check in scored["checks"]:
            if check["grade"] == _CRITICAL and not check["skipped"]:
                found.setdefault(check["check"]["id"], set()).add(scored["object_name"])
    for name in sorted(found.keys() - accepted.keys()):
        yield f"{name}: {', '.join(sorted(found[name]))}"
    for name in sorted(accepted.keys() - found.keys()):
        yield f"{name}: is accepted, but not found any more"


def main() -> int:
    """Prints the differences; 1 where there are any."""
    lines = list(differences(json.load(sys.stdin), accepted_findings()))
    for line in lines:
        print(line)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
