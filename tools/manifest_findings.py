"""Holds what checkers find in manifests against the findings that are accepted, each with its reason.

`kube-score score --output-format json FILE... | python -m tools.manifest_findings kube-score`, or
`checkov --directory DIR --framework kubernetes --output json | python -m tools.manifest_findings checkov`.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_ACCEPTED = Path(__file__).with_name("accepted_findings.yaml")
_CRITICAL = 1

Found = Iterable[tuple[str, str]]
"""Ids of checks, each with an object that fails it."""


def accepted_findings(checker: str) -> dict[str, str]:
    """Reasons of the accepted findings of a checker, by its id of the check."""
    reasons: dict[str, str] = yaml.safe_load(_ACCEPTED.read_text("utf-8"))[checker]
    return reasons


def of_kube_score(score: Iterable[Mapping[str, Any]]) -> Found:
    """What kube-score finds critical, from its JSON."""
    for scored in score:
        for check in scored["checks"]:
            if check["grade"] == _CRITICAL and not check["skipped"]:
                yield check["check"]["id"], scored["object_name"]


def of_checkov(report: Mapping[str, Any]) -> Found:
    """What fails a check of checkov, from its JSON; it has no severities without an account, so all of it counts.

    Raises:
        ValueError: a manifest could not be read, or there was none.

    """
    summary = report.get("summary", report)
    if summary.get("parsing_errors") or not summary.get("resource_count"):
        raise ValueError("checkov has not read the manifests")
    for check in report["results"]["failed_checks"]:
        yield check["check_id"], check["resource"].rpartition(".")[2]


def differences(found: Found, accepted: Mapping[str, str]) -> Iterator[str]:
    """What is found and not accepted, then what is accepted and not found, each sorted.

    Args:
        found: what a checker finds.
        accepted: the reasons.

    """
    objects: dict[str, set[str]] = {}
    for check, name in found:
        objects.setdefault(check, set()).add(name)
    for check in sorted(objects.keys() - accepted.keys()):
        yield f"{check}: {', '.join(sorted(objects[check]))}"
    for check in sorted(accepted.keys() - objects.keys()):
        yield f"{check}: is accepted, but not found any more"


_READERS: dict[str, Callable[[Any], Found]] = {"checkov": of_checkov, "kube-score": of_kube_score}


def main(arguments: list[str] | None = None) -> int:
    """Prints the differences; 1 where there are any."""
    parser = argparse.ArgumentParser(prog="python -m tools.manifest_findings", description=__doc__)
    parser.add_argument("checker", choices=sorted(_READERS))
    checker = parser.parse_args(arguments).checker
    lines = list(differences(_READERS[checker](json.load(sys.stdin)), accepted_findings(checker)))
    for line in lines:
        print(f"{checker}: {line}")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
