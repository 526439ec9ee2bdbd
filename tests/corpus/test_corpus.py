"""Stack files as people write them, right and wrong, and what each must come to.

The first line of a file is its expectation: `# expect: ` and one of

* `plans`: it is planned, and nothing is warned of;
* `plans, warns PATH: TEXT`: it is planned with that warning;
* `estimated PATH`: it is planned, and the verdict of that server says that it is an estimate;
* `refused PATH: TEXT`: it is refused for that; more ` & PATH: TEXT` for every other problem that must be told with it.

TEXT is part of the message. A mistake that somebody made becomes a file here.
"""

import re
from pathlib import Path

import pytest

from gke_llm_inference import Refusal, plan_stack
from gke_llm_inference.cli.selection import select
from gke_llm_inference.planning import StackPlan
from gke_llm_inference.settings import Finding

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*/Pulumi.*.yaml"))


def _named(path: Path) -> str:
    return f"{path.parent.name}/{path.name.removeprefix('Pulumi.').removesuffix('.yaml')}"


def _planned(path: Path) -> StackPlan:
    selection = select(None, path, None)
    return plan_stack(selection.configuration().settings, selection.identity)


def _said(text: str, findings: tuple[Finding, ...]) -> bool:
    path, _, message = text.partition(": ")
    return any(finding.path == path and message in str(finding) for finding in findings)


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("path", FILES, ids=_named)
def test_a_stack_file_comes_to_what_it_says(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    stated = re.fullmatch(r"# expect: (plans|plans, warns|estimated|refused)(?: (.+))?", first)
    assert stated, first
    verdict, what = stated[1], stated[2] or ""
    if verdict == "refused":
        with pytest.raises(Refusal) as refused:
            _planned(path)
        for problem in what.split(" & "):
            assert _said(problem, refused.value.problems), f"{problem!r} is not among:\n{refused.value}"
        return
    plan = _planned(path)
    match verdict:
        case "plans":
            assert plan.warnings == ()
        case "plans, warns":
            assert _said(what, plan.warnings), plan.warnings
        case "estimated":
            (server,) = (server for server in plan.servers if f"servers.{server.key}" == what)
            assert server.memory is not None
            assert not server.memory.calibrated
