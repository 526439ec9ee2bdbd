"""Tables and paragraphs of the generated pages."""

from hypothesis import given
from hypothesis import strategies as st

from tools.markdown import paragraph, table

WORDS = st.lists(st.text(alphabet="abcé", min_size=1, max_size=30), min_size=1, max_size=60)


def test_a_table_has_its_sides_and_an_empty_line_behind_it() -> None:
    assert table(["what", "n"], [["one", "1"], ["two", "2"]], "lr") == (
        "| what | n |\n| --- | ---: |\n| one | 1 |\n| two | 2 |\n\n"
    )


def test_a_point_of_a_list_is_indented_and_code_is_not_broken() -> None:
    command = "`gke-llm-inference optimize --model some/model --rate 4`"
    text = paragraph(f"{'word ' * 17}{command} end", "* ")
    assert text == f"* {'word ' * 17}".rstrip() + f"\n  {command} end\n"


@given(WORDS)
def test_a_paragraph_keeps_its_words_in_lines_of_120_signs(given_words: list[str]) -> None:
    text = paragraph("\n  ".join(given_words))
    assert text.split() == given_words
    assert text.endswith("\n\n")
    assert max(map(len, text.splitlines())) <= 120
