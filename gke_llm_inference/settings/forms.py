"""What a pattern of the settings allows, in words, for whoever reads no regular expressions."""

import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

# The standard library has no public way to look into a pattern.
from re import _constants as tokens  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_PRINTABLE = frozenset(map(chr, range(32, 127)))
_KINDS = (
    (string.ascii_letters, "letters", "a letter"),
    (string.ascii_lowercase, "lower-case letters", "a lower-case letter"),
    (string.ascii_uppercase, "capital letters", "a capital letter"),
    (string.digits, "digits", "a digit"),
)
_CATEGORIES = {
    tokens.CATEGORY_SPACE: frozenset(" "),
    tokens.CATEGORY_NOT_SPACE: _PRINTABLE - {" "},
    tokens.CATEGORY_DIGIT: frozenset(string.digits),
    tokens.CATEGORY_WORD: frozenset(string.ascii_letters + string.digits + "_"),
}
# Where most characters are allowed, those are named that are not.
_MOST = 85
_SHORTEST_WORD = 3


@dataclass(frozen=True)
class Form:
    """What a text must be, as far as it can be said of the whole of it.

    Attributes:
        least: characters that it has at least.
        most: characters that it has at most; None where the pattern has no bound.
        characters: characters that it may have, of the printable ones of ASCII.
        first: characters that it may begin with.
        last: characters that it may end with.
        start: signs or a word that it begins with in any case; empty where there are none.
        needs: signs and words that it must have after that, in their order.

    """

    least: int
    most: int | None
    characters: frozenset[str]
    first: frozenset[str]
    last: frozenset[str]
    start: str
    needs: tuple[str, ...]

    @property
    def words(self) -> str:
        """The same in words: "1 to 60 characters: lower-case letters, digits and -"."""
        parts = [f"{self._size}: {_listed(self.characters, single=False)}"]
        if self.start:
            parts.append(f"it begins with {self.start}")
        ends = (("begins", self.characters if self.start else self.first), ("ends", self.last))
        parts += [f"it {how} with {_listed(some, single=True)}" for how, some in ends if some != self.characters]
        if self.needs:
            parts.append(f"it has {_joined(self.needs, 'and')} in it")
        return "; ".join(parts)

    @property
    def _size(self) -> str:
        if self.most is None:
            return f"{self.least} characters or more" if self.least > 1 else "characters"
        if self.least == self.most:
            return f"{self.least} characters"
        return f"{self.least} to {self.most} characters" if self.least else f"at most {self.most} characters"


def in_words(pattern: str) -> str:
    """What a pattern allows, in words.

    Args:
        pattern: a regular expression for whole texts.

    Raises:
        ValueError: it has something that no pattern of the settings has.

    """
    return "; or ".join(one if isinstance(one, str) else one.words for one in forms_of(pattern))


@cache
def forms_of(pattern: str) -> tuple[Form | str, ...]:
    """The texts that a pattern allows: words as they are, and forms of others. Raises as `in_words` does."""
    sequence = [one for one in _parser.parse(pattern) if one[0] is not tokens.AT]
    while len(sequence) == 1 and sequence[0][0] is tokens.SUBPATTERN:
        sequence = list(sequence[0][1][3])
    if len(sequence) == 1 and sequence[0][0] is tokens.BRANCH:
        found = [_form(list(one)) for one in sequence[0][1][1]]
        return tuple(sorted(found, key=lambda one: isinstance(one, Form)))
    return (_form(sequence),)


def _form(sequence: list[Any]) -> Form | str:
    if all(operator is tokens.LITERAL for operator, _ in sequence):
        return "".join(chr(value) for _, value in sequence)
    widths = [_width(*one) for one in sequence]
    most = sum(high for _, high in widths)
    needs = list(_needs(sequence))
    start = needs.pop(0) if needs and sequence[0][0] is tokens.LITERAL else ""
    return Form(
        least=sum(low for low, _ in widths),
        most=None if most >= tokens.MAXREPEAT else most,
        characters=frozenset().union(*map(_characters, sequence)),
        first=_edge(sequence),
        last=_edge(sequence, at_end=True),
        start=start,
        needs=tuple(dict.fromkeys(needs)),
    )


def _width(operator: Any, value: Any) -> tuple[int, int]:
    """Characters that a part takes, at least and at most; at most MAXREPEAT or more where there is no bound."""
    inner = _inner(operator, value)
    if not inner:
        return 1, 1
    widths = [tuple(map(sum, zip(*(_width(*one) for one in sequence), strict=True))) or (0, 0) for sequence in inner]
    least, most = min(low for low, _ in widths), max(high for _, high in widths)
    if operator in (tokens.MAX_REPEAT, tokens.MIN_REPEAT):
        return least * value[0], most * int(value[1])
    return least, most


def _inner(operator: Any, value: Any) -> list[list[Any]]:
    """The sequences within a part of a pattern, one of which is taken; none of a single character."""
    if operator in (tokens.MAX_REPEAT, tokens.MIN_REPEAT):
        return [list(value[2])]
    if operator is tokens.SUBPATTERN:
        return [list(value[3])]
    if operator is tokens.BRANCH:
        return [list(one) for one in value[1]]
    if operator in (tokens.LITERAL, tokens.IN, tokens.NOT_LITERAL):
        return []
    raise ValueError(f"patterns with {operator} have no words")


def _characters(part: Any) -> frozenset[str]:
    operator, value = part
    if operator is tokens.LITERAL:
        return frozenset(chr(value))
    if operator is tokens.NOT_LITERAL:
        return _PRINTABLE - {chr(value)}
    if operator is tokens.IN:
        return _class(value)
    return frozenset().union(*(_characters(one) for sequence in _inner(operator, value) for one in sequence))


def _class(items: Iterable[Any]) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    negated = False
    for operator, value in items:
        if operator is tokens.NEGATE:
            negated = True
        elif operator is tokens.LITERAL:
            found |= {chr(value)}
        elif operator is tokens.RANGE:
            found |= frozenset(map(chr, range(value[0], value[1] + 1)))
        else:
            found |= _CATEGORIES[value]
    return _PRINTABLE - found if negated else found


def _edge(sequence: list[Any], *, at_end: bool = False) -> frozenset[str]:
    """What a sequence may begin with, or end with."""
    found: frozenset[str] = frozenset()
    for operator, value in reversed(sequence) if at_end else sequence:
        inner = _inner(operator, value)
        if not inner:
            return found | _characters((operator, value))
        found |= frozenset().union(*(_edge(one, at_end=at_end) for one in inner))
        if not _may_be_empty(operator, value):
            return found
    return found


def _may_be_empty(operator: Any, value: Any) -> bool:
    if operator in (tokens.MAX_REPEAT, tokens.MIN_REPEAT) and value[0] == 0:
        return True
    inner = _inner(operator, value)
    return any(all(_may_be_empty(*one) for one in sequence) for sequence in inner) if inner else False


def _needs(sequence: list[Any]) -> Iterable[str]:
    """Runs of literal characters that are there in any case: a sign, or a word."""
    run = ""
    for operator, value in sequence:
        if operator is tokens.LITERAL:
            run += chr(value)
            continue
        yield from _need(run)
        run = ""
        inner = _inner(operator, value)
        if len(inner) == 1 and not _may_be_empty(operator, value):
            yield from _needs(inner[0])
    yield from _need(run)


def _need(run: str) -> Iterable[str]:
    if run and (len(run) >= _SHORTEST_WORD or not run.isalnum()):
        yield run


def _listed(characters: frozenset[str], *, single: bool) -> str:
    """Characters in words; `single` for one of them."""
    if characters == _PRINTABLE:
        return "any"
    if len(characters) >= _MOST:
        return f"anything but {_joined(map(_named, sorted(_PRINTABLE - characters)), 'and')}"
    names, rest = [], set(characters)
    for kind, many, one in _KINDS:
        if rest >= set(kind):
            names.append(one if single else many)
            rest -= set(kind)
    for kind, _, _ in _KINDS:
        some = sorted(rest & set(kind))
        if len(some) > 2 and kind.index(some[-1]) - kind.index(some[0]) == len(some) - 1:
            names.append(f"{some[0]} to {some[-1]}")
            rest -= set(some)
    return _joined([*names, *map(_named, sorted(rest))], "or" if single else "and")


def _named(character: str) -> str:
    return {" ": "spaces", ",": "a comma"}.get(character, character)


def _joined(names: Iterable[str], word: str) -> str:
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last
