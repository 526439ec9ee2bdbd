"""Patterns in words: what is said of a pattern holds for whatever it matches, and no message shows one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gke_llm_inference.settings import Refusal
from gke_llm_inference.settings.calibration import Calibration
from gke_llm_inference.settings.forms import Form, forms_of, in_words
from gke_llm_inference.settings.parse import parse_settings
from gke_llm_inference.settings.schema import stack_schema
from tests.settings.support import autopilot_stack

if TYPE_CHECKING:
    from collections.abc import Iterator


def patterns_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for one in schema:
            yield from patterns_in(one)


PATTERNS = sorted({*patterns_in(stack_schema("gke-llm-inference")), *patterns_in(Calibration.model_json_schema())})


def holds(form: Form | str, text: str) -> bool:
    """Whether what is said of a form is true of a text."""
    if isinstance(form, str):
        return text == form
    rest = text.removeprefix(form.start)
    return (
        len(text) >= form.least
        and (form.most is None or len(text) <= form.most)
        and set(text) <= form.characters
        and (not text or (text[0] in form.first and text[-1] in form.last))
        and text.startswith(form.start)
        and all(need in rest for need in form.needs)
    )


@pytest.mark.parametrize("pattern", PATTERNS)
@given(data=st.data())
def test_what_is_said_holds_for_every_text_that_matches(pattern: str, data: st.DataObject) -> None:
    text = data.draw(
        st.from_regex(pattern, fullmatch=True, alphabet=st.characters(min_codepoint=32, max_codepoint=126))
    )
    assert any(holds(form, text) for form in forms_of(pattern))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_sign_of_a_pattern_is_left(pattern: str) -> None:
    assert not re.search(r"\[|\\|\^|\$|\{", in_words(pattern))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("^[a-z0-9-]{1,60}$", "1 to 60 characters: lower-case letters, digits and -"),
        (
            "^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$",
            "3 characters or more: letters, digits, -, ., / and _; it begins with a letter or a digit; it ends with a "
            "letter, a digit, -, . or _; it has / in it",
        ),
        ("^(latest|[1-9][0-9]*)$", "latest; or characters: digits; it begins with 1 to 9"),
        (
            "^sha256:[0-9a-f]{64}$",
            "71 characters: digits, :, a, b, c, d, e, f, h and s; it begins with sha256:; it ends with a digit or a to "
            "f",
        ),
        (
            r"^[a-zA-Z0-9][^\s@]{0,299}$",
            "1 to 300 characters: anything but spaces and @; it begins with a letter or a digit",
        ),
        ("^([A-Za-z0-9]{2})?$", "at most 2 characters: letters and digits"),
    ],
)
def test_words_are_plain(pattern: str, words: str) -> None:
    assert in_words(pattern) == words


def test_what_no_setting_has_is_not_put_into_words() -> None:
    with pytest.raises(ValueError, match="have no words"):
        in_words("^(?=a)[a-z]$")


def test_a_text_of_another_form_is_refused_in_words() -> None:
    with pytest.raises(Refusal) as caught:
        parse_settings(autopilot_stack(model="gemma"))
    (problem,) = caught.value.problems
    assert (problem.path, problem.what) == ("servers.gemma.model", "does not have the right form")
    assert problem.why == (
        "it takes 3 characters or more: letters, digits, -, ., / and _; it begins with a letter or a digit; it "
        "ends with a letter, a digit, -, . or _; it has / in it"
    )
    assert problem.fix == "correct it: Hugging Face id, such as google/gemma-7b-it."
