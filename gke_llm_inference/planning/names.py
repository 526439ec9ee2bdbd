"""Names that Kubernetes and Google take, made from any text without two texts ever sharing one."""

import hashlib
import re
from collections.abc import Iterable

from gke_llm_inference.settings import Finding
from gke_llm_inference.settings.base import is_dns_label

_DIGEST_LENGTH = 8


def dns_label(text: str, limit: int = 63) -> str:
    """A DNS label of at most `limit` characters for `text`.

    A text that is one already stays as it is. Any other is slugged, cut, and given a digest of the whole text, so
    that two texts do not meet in one name.
    """
    if len(text) <= limit and is_dns_label(text):
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not slug or not slug[0].isalpha():
        slug = f"n-{slug}".rstrip("-")
    return f"{slug[: limit - _DIGEST_LENGTH - 1].rstrip('-')}-{digest}"


def label_value(text: str) -> str:
    """The value of a Kubernetes label for `text`: at most 63 of the characters that labels allow."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")


def clashes(section: str, keys: Iterable[str], limit: int = 63) -> list[Finding]:
    """Problems for every two `keys` of a section of the configuration that would get one name."""
    taken: dict[str, str] = {}
    problems = []
    for key in sorted(keys):
        name = dns_label(key, limit)
        if name in taken:
            problems.append(
                Finding(
                    path=f"{section}.{key}",
                    what=f"gets the same name as {section}.{taken[name]}: {name}",
                    why="Kubernetes objects are found by name",
                    fix="rename one of them",
                )
            )
        taken[name] = key
    return problems
