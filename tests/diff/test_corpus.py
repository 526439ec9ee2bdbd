"""Every change of the corpus is reported with exactly the resources and properties that it changes."""

import os

import pytest
import yaml

from gke_llm_inference.preview.recording import Recording
from tests.diff.corpus import CASES
from tests.diff.support import EXPECTED, compared, recordings_of_corpus
from tests.support import UPDATE, Recordings


@pytest.fixture(scope="module")
def corpus(recordings: Recordings) -> dict[str, Recording]:
    return recordings_of_corpus(recordings)


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len([case for case in CASES.values() if case.change or case.code]) >= 30


def test_every_change_is_reported_and_nothing_else(corpus: dict[str, Recording]) -> None:
    reported = {name: compared(corpus[case.base], corpus[name]) for name, case in CASES.items()}
    if os.environ.get(UPDATE) == "1":
        EXPECTED.write_text(yaml.safe_dump(reported, sort_keys=False, width=110), encoding="utf-8")
    expected = yaml.safe_load(EXPECTED.read_text(encoding="utf-8"))
    assert list(expected) == list(CASES)
    for name in CASES:
        assert reported[name] == expected[name], name


@pytest.mark.parametrize("base", ["autopilot", "standard"])
def test_no_change_is_no_report(corpus: dict[str, Recording], base: str) -> None:
    assert compared(corpus[base], corpus[base]) == {}
    unchanged = [name for name, case in CASES.items() if case.base == base and not case.change and not case.code]
    assert [compared(corpus[base], corpus[name]) for name in unchanged] == [{}]


def test_there_and_back_again(corpus: dict[str, Recording]) -> None:
    for name, case in CASES.items():
        there, back = compared(corpus[case.base], corpus[name]), compared(corpus[name], corpus[case.base])
        assert there.get("added") == back.get("removed"), name
        assert set(there.get("changed", {})) == set(back.get("changed", {})), name
