"""Turns raw configuration into settings, or into all of its problems at once."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gke_llm_inference.secret_rules import HUGGING_FACE_TOKEN, WHERE_SECRETS_GO, secrets_in
from gke_llm_inference.settings.annotations import discriminator_of, fields_of, is_union, tagged, unwrapped
from gke_llm_inference.settings.findings import Finding, Refusal
from gke_llm_inference.settings.forms import in_words
from gke_llm_inference.settings.pulumi_keys import TOKEN_KEY
from gke_llm_inference.settings.stack import StackSettings

M = TypeVar("M", bound=BaseModel)

_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SIZE = re.compile(r"(?:[0-9]+x)?[0-9]+(?:\.[0-9]+)?[bm]")
_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping of names to entries",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "list_type": "a list",
}


def parse_settings(raw: Mapping[str, Any]) -> StackSettings:
    """Settings of a stack from its raw configuration.

    Args:
        raw: the values under the project's namespace, by key without namespace, as YAML or JSON would hold them.

    Raises:
        Refusal: with every problem of `raw`: its path, what is wrong, why, and how to fix it. No value is echoed.

    """
    leaked = list(leaked_secrets(raw))
    if leaked:
        # Alone: what is leaked has to be revoked first, and nothing else may look at it.
        raise Refusal(leaked)
    return parse_model(StackSettings, raw)


def parse_model(model: type[M], raw: Mapping[str, Any], path: str = "") -> M:
    """One model from raw values, as YAML or JSON would hold them; `path` is where they stand.

    Raises:
        Refusal: with every problem of `raw`. No value is echoed.

    """
    try:
        return model.model_validate_json(json.dumps(with_text_keys(raw), default=str), by_alias=True, by_name=False)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        # Items that are wrong are not counted, and a list of them would be too short as well.
        wrong = {tuple(detail["loc"][:length]) for detail in details for length in range(len(detail["loc"]))}
        problems = [
            _finding(model, raw, detail)
            for detail in details
            if not (detail["type"] == "too_short" and tuple(detail["loc"]) in wrong)
        ]
        prefix = f"{path}." if path else ""
        raise Refusal(replace(one, path=f"{prefix}{one.path}") for one in problems) from None


def leaked_secrets(settings: Any) -> Iterator[Finding]:
    """A problem for every secret in clear text among raw settings."""
    return secret_findings(secrets_in(settings))


def secret_findings(found: Iterable[tuple[str, str]], *, key: str = "") -> Iterator[Finding]:
    """A problem for every secret, from its path and kind.

    Args:
        found: paths and kinds.
        key: the key of a configuration value that is not a setting, and so can be encrypted.

    """
    for where, kind in found:
        if kind == HUGGING_FACE_TOKEN:
            yield Finding(
                path=where,
                what=f"holds a {kind} in clear text",
                why="it ends up in git, in plans and in manifests",
                fix=f"revoke it, then: pulumi config set --secret {TOKEN_KEY}",
            )
            continue
        what, fix = "holds a secret", WHERE_SECRETS_GO
        if ".extraArgs[" in where:
            what = "would put a secret on the command line"
            fix = "keep the token under huggingFace; API keys under apiKeys"
        elif key:
            fix = f"revoke it, then: pulumi config set --secret {key}"
        why = f"it looks like a secret ({kind}), and ends up in git, in plans and in manifests in clear text"
        yield Finding(path=where, what=what, why=why, fix=fix)


def with_text_keys(value: Any) -> Any:
    """`value` with every key as text: YAML reads some names as dates or numbers."""
    if isinstance(value, Mapping):
        return {str(key): with_text_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_text_keys(item) for item in value]
    return value


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The entry of `valid` that `name` most likely means, ignoring case; None if nothing is close.

    Where some entries are of the same family, it is one of them: `n2-standard-5` is no slip for `e2-standard-4`. A
    model is never taken for one of another family or generation, whose numbers are others.
    """
    by_folded = {candidate.casefold(): candidate for candidate in sorted(valid)}
    folded = name.casefold()
    is_model, family = "/" in folded, _family(folded)
    related = [candidate for candidate in by_folded if family and _family(candidate) == family]
    if is_model:
        # A slip in the family's own name leaves the numbers of generation and size as they are.
        related += [candidate for candidate in by_folded if _NUMBERS.findall(candidate) == _NUMBERS.findall(folded)]
    possible = related if related or is_model else list(by_folded)
    matches = difflib.get_close_matches(folded, possible, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def _family(name: str) -> str:
    """What names of one family have in common: the words of a model before its size, the series of a machine."""
    if "/" in name:
        words = name.partition("/")[2].split("-")
        size = next((place for place, word in enumerate(words) if _SIZE.fullmatch(word)), len(words))
        return "-".join(words[:size])
    series, dash, _ = name.partition("-")
    return series if dash and any(letter.isdigit() for letter in series) else ""


def suggestion(name: str, valid: Iterable[str]) -> str:
    """What to write instead of the unknown `name`: the nearest valid name, or all of them."""
    names = sorted(valid)
    match = nearest(name, names)
    return f"did you mean {match}?" if match else f"use one of: {', '.join(names)}"


def _finding(root: type[BaseModel], raw: object, detail: ErrorDetails) -> Finding:
    location = _Location(root)
    for element in detail["loc"]:
        location.enter(element)
    path = location.path
    value = _value_at(raw, location.keys)
    kind, context = detail["type"], detail.get("ctx", {})
    match kind:
        case "refused":
            at = ".".join(filter(None, (path, context["at"])))
            return Finding(path=at, what=context["what"], why=context["why"], fix=context["fix"])
        case "extra_forbidden":
            valid = location.sibling_keys()
            return Finding(
                path=path,
                what="is not a known key",
                why="a misspelled key would be ignored silently",
                fix=suggestion(location.keys[-1], valid),
            )
        case "missing":
            return Finding(path=path, what="is missing", why="it has no default", fix=location.help("add it"))
        case "union_tag_not_found" | "union_tag_invalid":
            tag = location.discriminator()
            # A bare word stands for its choice where a list takes words.
            found = value.get(tag) if isinstance(value, Mapping) else value if isinstance(value, str) else None
            what = "is missing" if kind == "union_tag_not_found" else "is not a known choice"
            return Finding(
                path=f"{path}.{tag}",
                what=what,
                why="it decides which other keys there are",
                fix=suggestion(str(found or ""), location.tags()),
            )
        case "literal_error":
            why = "anything else would be ignored or refused later"
            return Finding(
                path=path, what="is not a known choice", why=why, fix=suggestion(str(value), location.choices())
            )
        case "string_pattern_mismatch":
            return Finding(
                path=path,
                what="does not have the right form",
                why=f"it takes {in_words(context['pattern'])}",
                fix=location.help("correct it"),
            )
        case "invalid_key":
            return Finding(path=path, what="is not a name", why="names of entries are text", fix="quote it")
        case _ if kind in _TYPES:
            if kind == "dict_type" and location.holds_model():
                kind = "model_type"
            if value is None or value == "":
                return Finding(
                    path=path,
                    what=f"is not {_TYPES[kind]}",
                    why="the key has no value; what is left empty may be a slip, and is never taken for a default",
                    fix=location.help(f"write {_TYPES[kind]}"),
                )
            quote = " (put it in quotes)" if kind == "string_type" and isinstance(value, int | float) else ""
            why = "values are taken as they are, never converted"
            return Finding(path=path, what=f"is not {_TYPES[kind]}", why=why, fix=f"write {_TYPES[kind]}{quote}")
        case _:
            message = detail["msg"][0].lower() + detail["msg"][1:]
            return Finding(
                path=path, what=message, why="nothing beyond that bound can work", fix=location.help("change it")
            )


def _value_at(raw: Any, keys: Sequence[Any]) -> object:
    for key in keys:
        if (isinstance(raw, Mapping) and key in raw) or (
            isinstance(raw, list) and isinstance(key, int) and key < len(raw)
        ):
            raw = raw[key]
        else:
            return None
    return raw


class _Location:
    """Follows an error's location through the models, leaving out the tags that pydantic adds for unions."""

    def __init__(self, root: type[BaseModel]) -> None:
        self._annotation: Any = root
        self._parent: type[BaseModel] | None = None
        self._field: FieldInfo | None = None
        self.keys: list[Any] = []

    @property
    def path(self) -> str:
        text = ""
        for key in self.keys:
            text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
        return text or "configuration"

    def enter(self, element: str | int) -> None:
        annotation = unwrapped(self._annotation)
        if is_union(annotation):
            member = tagged(annotation).get(str(element))
            if member is not None:
                self._annotation = member
                return
        if element == "[key]" and get_origin(annotation) is not dict:
            # What pydantic adds where the name of an entry is wrong itself.
            return
        self.keys.append(element)
        origin = get_origin(annotation)
        self._field = None
        self._parent = None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            self._parent = annotation
            self._field = fields_of(annotation).get(str(element))
            self._annotation = self._field.annotation if self._field else None
            if self._field is not None and self._field.discriminator is not None:
                self._annotation = Annotated[self._annotation, self._field]
        elif origin is dict:
            self._annotation = get_args(annotation)[1]
        elif origin is tuple:
            self._annotation = get_args(annotation)[0]
        else:
            self._annotation = None

    def sibling_keys(self) -> list[str]:
        return list(fields_of(self._parent)) if self._parent else []

    def help(self, verb: str) -> str:
        """What the field is for, as its documentation's first sentence says."""
        return _help(verb, self._field)

    def discriminator(self) -> str:
        return discriminator_of(self._annotation)

    def tags(self) -> list[str]:
        return list(tagged(unwrapped(self._annotation)))

    def holds_model(self) -> bool:
        """Whether a model, or one of several, is expected here."""
        annotation = unwrapped(self._annotation)
        return bool(tagged(annotation)) or (isinstance(annotation, type) and issubclass(annotation, BaseModel))

    def choices(self) -> list[str]:
        annotation = unwrapped(self._annotation)
        return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _help(verb: str, field: FieldInfo | None) -> str:
    from gke_llm_inference.settings.descriptions import describe_settings

    describe_settings()
    return f"{verb}: {field.description.splitlines()[0]}" if field is not None and field.description else verb
