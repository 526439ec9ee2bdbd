"""`python -m local.gke capacity`: what Google has, and what it cost."""

from pathlib import Path

import pytest

from local.gke.__main__ import main
from local.gke.control_plane import Layout
from local.gke.state import write_usage
from local.gke.usage import Usage


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path / "gke")
    found.make()
    return found


def run(layout: Layout, capsys: pytest.CaptureFixture[str], *stock: str) -> tuple[int, str]:
    code = main(["capacity", "--directory", str(layout.directory), *stock])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_stock_is_set_shown_and_lifted(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(layout, capsys) == (0, "stock       as many machines as anybody wants\n")
    assert run(layout, capsys, "spot=0", "onDemand/g2-standard-8=2") == (
        0,
        "stock       onDemand/g2-standard-8=2 spot=0\n",
    )
    assert run(layout, capsys, "spot=any") == (0, "stock       onDemand/g2-standard-8=2\n")


def test_what_was_used_is_shown(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = {"spot n1-standard-8 us-central1-a": 3600.0, "spot n1-standard-8 us-central1-b": 1800.0}
    write_usage(layout, Usage(seconds))
    assert run(layout, capsys)[1].splitlines()[1:] == [
        "used        1.50 node-hours of n1-standard-8 (spot, us-central1): no price known",
    ]


def test_what_is_no_stock_changes_nothing(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    run(layout, capsys, "spot=1")
    code, said = run(layout, capsys, "spot=0", "spto=0")
    assert (code, said) == (1, "'spto=0': a stock starts with how machines are given; did you mean spot?\n")
    assert run(layout, capsys)[1] == "stock       spot=1\n"


@pytest.mark.parametrize("text", ["{}", "[]", "[1, 2]", '{"spot": "many"}', "{", "null"])
def test_a_stock_that_cannot_be_read_bounds_nothing(
    layout: Layout, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    layout.stock.write_text(text)
    layout.usage.write_text(text)
    assert run(layout, capsys) == (0, "stock       as many machines as anybody wants\n")


def test_a_usage_of_words_that_are_none_is_left_out(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    layout.usage.write_text('{"spot": 3, "spot e2-standard-4 us-central1-a": 3600}')
    assert run(layout, capsys) == (0, "stock       as many machines as anybody wants\n")


def test_without_an_instance_there_is_no_stock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--directory", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"no cluster is in {tmp_path}/none; start it\n"
