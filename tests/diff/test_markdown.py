"""The comment: nothing from outside is markup in it, it stays within its bounds, and it says what matters."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gke_llm_inference.diff.compare import Comparison, compare, everything_added
from gke_llm_inference.diff.effects import effects_of
from gke_llm_inference.diff.plans import ServerFacts, StackFacts
from gke_llm_inference.diff.render_markdown import LIMIT, MARKER, code, fenced, render_markdown
from gke_llm_inference.diff.render_text import render_text
from gke_llm_inference.diff.report import Report, StackReport
from gke_llm_inference.diff.values import differences
from gke_llm_inference.diff.wording import quote
from gke_llm_inference.preview.recording import LogEntry, Recording, Resource, Severity

CANARY = "EVIL"
PIECES = [
    *("`", "``", "```", "````", "~~~", "|", "\\|", "\\", "<", ">", "&", "*", "_", "[x](http://e.example)", "![i](u)"),
    *("@octocat", "#123", "GH-1", "-->", "<!--", "</details>", "</code>", "<script>", "<img src=x>", "\n", "\r\n"),
    *(
        "\n\n# title\n",
        "\n```\n",
        "\n---\n",
        "\x1b[31m",
        "\x02",
        "\x03",
        "\x00",
        "\u202e",
        "\u2066",
        "\u200b",
        "\u2028",
    ),
    *("\u061c", "\U000e0041", "\ufeff", "\xa0", "\xad", "é", "🚀"),
    *("https://e.example", "www.e.example", "a@e.example", "$x$", "- [ ] t", "1. x", "    x", ":tada:", "&#64;", " | "),
]
hostile = st.lists(st.sampled_from(PIECES), max_size=5).map(lambda parts: f"{''.join(parts)}{CANARY}{''.join(parts)}")


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """A report in which everything that can come from outside is hostile."""

    def recording(image: str, warning: str) -> Recording:
        name = names[0]
        resources = [
            Resource(
                urn=f"urn:pulumi:s::p::kubernetes:apps/v1:Deployment::{name}",
                type="kubernetes:apps/v1:Deployment",
                name=name,
                parent=None,
                custom=True,
                inputs={
                    "metadata": {"labels": {names[1]: image}},
                    "spec": {
                        "replicas": draw(st.sampled_from([1, 2, names[2]])),
                        "strategy": {"rollingUpdate": {"maxSurge": names[3], "maxUnavailable": names[4]}},
                        "template": {
                            "spec": {"containers": [{"name": names[5], "args": [image, f"--{image}={image}"]}]}
                        },
                    },
                },
                options={"ignoreChanges": [names[6]], "version": image},
            ),
            Resource(
                f"urn:pulumi:s::p::{image}::{image}", image, image, None, True, inputs={image: [image, {image: 1}]}
            ),
            Resource(
                urn=f"urn:pulumi:s::p::gcp:container/nodePool:NodePool::{name}",
                type="gcp:container/nodePool:NodePool",
                name=name,
                parent=None,
                custom=True,
                inputs={"nodeConfig": {"spot": image, "guestAccelerators": [{"type": names[2], "count": 2}]}},
            ),
        ]
        logs = (LogEntry(Severity.WARNING, warning, resources[0].urn),)
        return Recording("p", "s", tuple(resources), logs, exports={image: image})

    names = draw(st.lists(hostile, min_size=8, max_size=8))
    base, head = recording(draw(hostile), draw(hostile)), recording(draw(hostile), draw(hostile))
    comparison = compare(base, head)

    def plan() -> StackFacts:
        texts = draw(st.lists(hostile, min_size=6, max_size=6))
        server = ServerFacts(
            name=names[7],
            model=texts[0],
            server=texts[1],
            image=texts[2],
            machine=texts[3],
            gpus=1,
            gpu_type=texts[4],
            verdict=texts[5],
            cost_note=texts[0],
            decisions=(texts[1],),
        )
        return StackFacts(servers={names[7]: server}, cost_note=texts[2], quota={texts[3]: (1, 2)}, known=True)

    after = plan()
    stacks = (
        StackReport(names[0], "compared", comparison, effects_of(comparison, head, after), plan(), after),
        StackReport(names[1], "no base", everything_added(head), problems=(names[2], names[3])),
        StackReport(names[4], "failed", problems=(names[5],)),
        StackReport(names[6], "gone", Comparison(())),
    )
    return Report(
        project=names[0],
        head=quote(names[1]),
        base=quote(names[2]),
        stacks=stacks,
        base_problem=f"{quote(names[3])} is no revision",
        note=quote(names[4]),
        dependencies=tuple(differences({names[5]: names[6]}, {names[5]: names[7]})),
    )


# What our own words may hold outside code: no character of markup but these, and no tag but these.
TAGS = re.compile(r"<!-- gke-llm-inference preview -->|</?(?:details|summary|sub)>")
PLAIN = re.compile(r"[\w\s.,;:()%+/×→↦–…'’|*#🟢🟡🟠🔴❌-]*")


INVISIBLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)


def outside_code(markdown: str) -> Iterator[str]:
    """The lines of a comment without what is code, by the rules of CommonMark."""
    fence = ""
    for line in markdown.split("\n"):
        run = re.match(r"(`{3,})([a-z]*)$", line)
        if fence:
            fence = "" if run and not run[2] and len(run[1]) >= len(fence) else fence
        elif run:
            fence = run[1]
        else:
            yield _without_spans(line)
    assert not fence, "a code block is left open"


def _without_spans(line: str) -> str:
    line = re.sub(r"<code>(?:[A-Za-z0-9 ]|&#\d+;)*</code>", "", line)
    rest, position = "", 0
    while run := re.compile("`+").search(line, position):
        rest += line[position : run.start()]
        closing = re.compile(rf"(?<!`){run[0]}(?!`)").search(line, run.end())
        assert closing, f"a code span is left open: {line}"
        assert "|" not in line[run.end() : closing.start()] or not line.startswith("|"), "a pipe ends a table's cell"
        position = closing.end()
    return rest + line[position:]


@given(reports())
@settings(deadline=None, max_examples=60)
def test_nothing_from_outside_is_markup(report: Report) -> None:
    markdown = render_markdown(report)
    assert markdown.startswith(f"{MARKER}\n")
    for line in outside_code(markdown):
        assert CANARY not in line
        assert PLAIN.fullmatch(TAGS.sub("", line)), line
        assert not re.search(r"@|#\d|https?:|www\.", line)
    for text in (markdown, render_text(report)):
        assert not INVISIBLE.search(text)


@given(reports())
@settings(deadline=None, max_examples=60)
def test_a_parser_of_markdown_sees_code_only(report: Report) -> None:
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    inside = 0
    for token in parser.parse(render_markdown(report)):
        if token.type in ("fence", "code_block"):
            assert token.type == "fence"
            continue
        assert CANARY not in token.content or token.children
        for child in token.children or []:
            if child.type == "html_inline":
                assert child.content in ("<code>", "</code>", "<sub>", "</sub>")
                inside += {"<code>": 1, "</code>": -1}.get(child.content, 0)
            elif child.type == "text" and inside:
                continue
            else:
                assert child.type in ("text", "softbreak", "code_inline", "strong_open", "strong_close"), child
                assert child.type == "code_inline" or CANARY not in child.content
    assert inside == 0


@given(hostile)
@settings(deadline=None)
def test_code_is_code(text: str) -> None:
    for table in (False, True):
        assert _without_spans(code(text, table=table)) == ""
        assert "\n" not in code(text, table=table)
    assert list(outside_code(fenced(text.splitlines()))) == []


@pytest.mark.parametrize("text", ["", " ", "`", "``", " a ", "a`", "`a", "|", "\\", "\\|", "a" * 10_000])
def test_code_of_awkward_texts(text: str) -> None:
    for table in (False, True):
        assert _without_spans(code(text, table=table)) in ("", "(empty)")


def large(resources: int, value: str) -> Report:
    """A report of many resources with large values."""
    items = tuple(
        Resource(
            f"urn:pulumi:s::p::test:index:T::{number:05}",
            "test:index:T",
            f"{number:05}",
            None,
            True,
            inputs={"a": value},
        )
        for number in range(resources)
    )
    added = everything_added(Recording("p", "s", items))
    return Report("p", quote("a"), quote("b"), (StackReport("s", "no base", added),))


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(large(3000, "x"), id="many resources"),
        pytest.param(large(40, "🚀" * 50_000), id="large values"),
        pytest.param(large(2000, "`" * 2000), id="backticks"),
        pytest.param(
            Report("p", "a", "b", tuple(StackReport(f"s{n}", "failed", problems=("x" * 9999,)) for n in range(300))),
            id="many stacks that fail",
        ),
        pytest.param(Report("p" * 99_999, "a", "b", (StackReport("s" * 99_999, "failed"),)), id="names without end"),
    ],
)
def test_a_comment_stays_within_its_bounds(report: Report) -> None:
    markdown = render_markdown(report)
    assert len(markdown.encode()) <= LIMIT
    assert "artifact" in markdown
    for line in outside_code(markdown):
        assert len(line) < 2000
    # The full report has it all.
    assert all(
        f"{number:05}" in render_text(report)
        for number in (0, len(report.stacks[0].comparison.resources) - 1)
        if number > 0
    )


def test_every_stack_is_in_the_one_comment() -> None:
    added = large(2, "x").stacks[0].comparison
    stacks = tuple(StackReport(name, "no base", added) for name in ("dev", "prod"))
    markdown = render_markdown(Report("p", "a", "b", stacks))
    assert markdown.count(MARKER) == 1
    assert [markdown.count(f"| `{name}` |") for name in ("dev", "prod")] == [1, 1]
    assert [markdown.count(f"`{name}`: all new") for name in ("dev", "prod")] == [1, 1]
