"""Keeps one issue per stack about drift: what differs between Pulumi's state and the cloud.

`python3 -m tools.report_drift --without-values < REFRESH > DIGEST` keeps of what `pulumi refresh --preview-only --json`
printed the names of resources and properties alone, as the rest holds the state with everything in it.

`python3 -m tools.report_drift --stack NAME --digest DIGEST --run-url URL` reports it. The issue is opened, edited in
place, and closed when nothing differs any more. It lists resources and properties, never values.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gke_llm_inference.pulumi_project.names import is_name
from tools.github_api import GitHub, GitHubError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AUTHOR = "github-actions[bot]"
_MOST_LINES = 100
_QUIET = ("same", "refresh", "read", "read-discard")


@dataclass(frozen=True)
class Drift:
    """What a refresh would change.

    Attributes:
        counts: number of resources by operation, without those that stay the same.
        resources: a line for each such resource, sorted.

    """

    counts: tuple[tuple[str, int], ...]
    resources: tuple[str, ...]


def drift_of(digest: Any) -> Drift:
    """The drift in the digest of a refresh's preview. Raises ValueError for anything else."""
    if not isinstance(digest, dict) or not isinstance(digest.get("changeSummary"), dict):
        raise ValueError("this is not a digest of a preview: changeSummary is missing")
    counts = {str(op): int(count) for op, count in digest["changeSummary"].items() if op not in _QUIET and count}
    lines = {line for step in digest.get("steps") or [] if (line := _line(step))}
    return Drift(tuple(sorted(counts.items())), tuple(sorted(lines)))


def without_values(digest: Any) -> dict[str, Any]:
    """What a report takes of a digest: numbers, operations, URNs and paths. Raises ValueError like `drift_of`."""
    drift_of(digest)
    steps = [
        {
            "op": str(step.get("op", "")),
            "urn": str(step.get("urn", "")),
            "detailedDiff": {path: {} for path in sorted(_paths(step))},
        }
        for step in digest.get("steps") or []
        if isinstance(step, dict) and _line(step)
    ]
    summary = {str(op): int(count) for op, count in digest["changeSummary"].items()}
    return {"changeSummary": summary, "steps": steps}


def _paths(step: Mapping[str, Any]) -> list[str]:
    return sorted(map(str, step.get("detailedDiff") or step.get("diffReasons") or ()))


def _line(step: Mapping[str, Any]) -> str:
    properties = _paths(step)
    if step.get("op") in _QUIET and not properties:
        return ""
    _, _, rest = str(step.get("urn", "")).partition("::")
    type_, _, name = rest.partition("::")[2].rpartition("::")
    shown = ", ".join(_code(path) for path in properties[:10])
    more = f" and {len(properties) - 10} more" if len(properties) > 10 else ""
    return f"- {_code(type_.rpartition('$')[2])} {_code(name)}" + (f": {shown}{more}" if shown else "")


def _code(text: str) -> str:
    """Text as a code span that it cannot leave."""
    return "`" + re.sub(r"[`\x00-\x1f\x7f]", "?", text)[:200] + "`"


def report(github: GitHub, stack: str, drift: Drift, run_url: str) -> str:
    """Opens, edits or closes the stack's issue. Returns what was done, in words."""
    marker = f"<!-- gke-llm-inference drift {stack} -->"
    issue = next(
        (
            found
            for found in github.pages("issues", state="open", creator=_AUTHOR)
            if "pull_request" not in found and (found["body"] or "").startswith(marker)
        ),
        None,
    )
    if not drift.counts:
        if issue is None:
            return f"{stack}: no drift"
        number = int(issue["number"])
        github.post(f"issues/{number}/comments", {"body": f"The state and the cloud agree again: {run_url}"})
        github.patch(f"issues/{number}", {"state": "closed", "state_reason": "completed"})
        return f"{stack}: no drift any more, issue {number} closed"
    content = {"title": f"Drift in {stack}", "body": _body(marker, stack, drift, run_url)}
    if issue is None:
        made = github.post("issues", content)
        return f"{stack}: drift, issue {made['number']} opened"
    github.patch(f"issues/{issue['number']}", content)
    return f"{stack}: drift, issue {issue['number']} edited"


def _body(marker: str, stack: str, drift: Drift, run_url: str) -> str:
    tally = ", ".join(f"{count} {_code(op)}" for op, count in drift.counts)
    lines = [
        marker,
        f"The cloud differs from the state of {_code(stack)}: {tally}. [The check]({run_url}) runs every night.",
        "",
        *drift.resources[:_MOST_LINES],
    ]
    if len(drift.resources) > _MOST_LINES:
        lines.append(f"- and {len(drift.resources) - _MOST_LINES} more")
    lines += [
        "",
        "To take the cloud back to what the stack says, deploy again. To keep the change, bring it into the stack's "
        f"settings, then `pulumi refresh --stack {stack}`.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Report one stack; 0 fine, with or without drift, 1 failed."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.report_drift", description=__doc__.partition("\n")[0])
    parser.add_argument("--without-values", action="store_true", help="read a refresh's JSON, print it without values")
    parser.add_argument("--stack", default="", help="the stack's name")
    parser.add_argument("--digest", type=Path, help="what --without-values printed")
    parser.add_argument("--run-url", default="", help="where the check can be read")
    options = parser.parse_args(arguments)
    if options.without_values:
        return _print_without_values()
    if options.digest is None or not options.run_url:
        parser.error("--digest and --run-url are needed for a report")
    if not is_name(options.stack):
        parser.error("--stack is not a valid stack name: use letters, digits, '.', '_' and '-', at most 100")
    try:
        drift = drift_of(json.loads(options.digest.read_text("utf-8")))
        print(report(GitHub.of_workflow(), options.stack, drift, options.run_url))
    except (GitHubError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _print_without_values() -> int:
    try:
        document = without_values(json.load(sys.stdin))
    except (TypeError, ValueError, RecursionError):
        # What it says of the text is a part of the text.
        print("error: this is not a digest of a preview", file=sys.stderr)
        return 1
    json.dump(document, sys.stdout, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
