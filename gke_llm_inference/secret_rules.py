"""What looks like a secret: the rules of detect-secrets, and a few for what they do not know.

detect-secrets is imported at the first question, as it takes as long as the rest of a plan.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, Final

HUGGING_FACE_TOKEN: Final = "Hugging Face token"  # noqa: S105 - what a rule is called
WHERE_SECRETS_GO: Final = "keep the token under huggingFace, API keys under apiKeys, others in a Secret under pod.env"
"""What to do with a secret that a setting holds."""

# No rule of detect-secrets that names no secret: addresses are none, and random texts are digests and revisions too.
_LEFT_OUT = frozenset({"IPPublicDetector", "Base64HighEntropyString", "HexHighEntropyString", "KeywordDetector"})
# What detect-secrets does not know, or knows in one of its forms only.
_OWN_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (HUGGING_FACE_TOKEN, re.compile(r"(?<![A-Za-z0-9])(?:hf|api_org)_[A-Za-z0-9]{16,}")),
    # Within a longer base64 text, four letters are found by chance.
    ("Google API key", re.compile(r"(?<![A-Za-z0-9_+/-])AIza[0-9A-Za-z_-]{30,}(?![A-Za-z0-9+/])")),
    ("Google OAuth secret", re.compile(r"(?<![A-Za-z0-9])(?:ya29\.[0-9A-Za-z_-]{20,}|GOCSPX-[0-9A-Za-z_-]{20,})")),
    (
        "API key",
        re.compile(
            r"(?<![A-Za-z0-9])sk-(?:[A-Za-z0-9]{16,}|(?:admin|ant|lf|or|proj|svcacct)-[A-Za-z0-9_-]{12,})"
            r"|(?<![A-Za-z0-9])(?:gsk_|nvapi-|xai-|wandb_v1_|sk_(?:live|test)_|rk_(?:live|test)_)[A-Za-z0-9_-]{20,}"
        ),
    ),
    ("GitHub token", re.compile(r"(?<![A-Za-z0-9])(?:github_pat_[A-Za-z0-9_]{22,}|gh[oprsu]_[A-Za-z0-9]{36,})")),
    ("npm token", re.compile(r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}")),
    ("JSON Web Token", re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")),
    # The whole of it, where the rule of detect-secrets has the heading alone.
    ("private key", re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*", re.DOTALL)),
    # A password may have characters that should be escaped in a URL, and no user in front of it.
    ("password in a URL", re.compile(r"[a-zA-Z]://[^\s/:@?#]*:([^\s/@]+)@")),
    ("password in a URL", re.compile(r"(?<![^\s'\"=])[A-Za-z0-9_.-]+:([^\s/@:]+)@(?:tcp|unix)\(")),
    (
        "signature or key in a URL",
        re.compile(
            r"[?&](?:x-(?:amz|goog)-signature|sig|signature|(?:access_?|auth_?)?token|api[-_]?key|key|password|secret)"
            r"=([^&\s'\"]{8,})",
            re.IGNORECASE,
        ),
    ),
    (
        "authorization header",
        re.compile(
            r"authorization[\"']?\s*[:=]\s*[\"']?(?:basic|bearer)(?:[ +]|%20)([A-Za-z0-9._~+/=-]{6,})"
            r"|\bbearer[ +](?=[A-Za-z._~+/-]*[0-9])([A-Za-z0-9._~+/-]{12,}=*)",
            re.IGNORECASE,
        ),
    ),
)
# `password=…` and `"password": "…"`, as in the connection strings of databases.
_ASSIGNED = re.compile(
    r"(?:(?:api|access|account|auth|private|client|service)[-_]?key|password|passwd|passphrase|(?<![a-z])(?:pass|pwd)"
    r"|secret|(?:access|api|auth|bearer|hf|hugging_?face)[-_]?token)"
    r"(?:\s*=\s*|[\"']\s*:\s*)[\"']?(?![\"'\s;,&])([^\s\"';,&]+)",
    re.IGNORECASE,
)
# What stands for a secret, or for none: `{password}`, `<password>`, `$PASSWORD`, `****`, `null`.
_PLACEHOLDER = re.compile(
    r"\$.*|\{.*\}?|<.*>|%\(.*|[*.xX]+|(?i:none|null|true|false|required|optional|redacted|your[-_ ].*)", re.DOTALL
)
_PATH = re.compile(r"(/[\w.-]+)+")
_VARIABLE = re.compile(
    r"TOKEN(?!S|IZ)|SECRET|PASS(WORD|WD|PHRASE)|(^|_)(PASS|PWD)$|CREDENTIAL"
    r"|(API|ACCESS|ACCOUNT|AUTH|ENCRYPTION|PRIVATE|SIGNING)_?KEY",
    re.IGNORECASE,
)
# Names about a secret rather than of one: where it is, or whether it is used.
_PLACE_NAME = re.compile(r"_(CREDENTIALS|DIR|FILE|PATH)$", re.IGNORECASE)
_PLACE = re.compile(r"(/[A-Za-z0-9._-]+)+")
_SWITCH_NAME = re.compile(r"^(DISABLE|ENABLE|USE)_|_(DISABLED|ENABLED|IMPLICIT|REQUIRED)(_|$)|_DISABLE_", re.IGNORECASE)
_SWITCH = re.compile(r"0|1|false|no|true|yes", re.IGNORECASE)
# Forms that a plain word can have.
_NEED_DIGIT = frozenset({"ArtifactoryDetector"})
# Most texts of a stack, and nothing that a rule could know.
_SHORT_NAME = re.compile(r"[a-z0-9.-]{0,16}|.{0,5}")
_WINDOW, _OVERLAP = 4096, 2048
"""Some rules take quadratic time: a long text is looked at in pieces, each with a part of the one before."""


def kind_of_secret(text: str) -> str | None:
    """What kind of secret is in `text`; None if there is none.

    Asks for more than `masked` hides: a password is one because of the name in front of it, too.
    """
    found = _secrets_in(text)
    if found:
        return found[0][0]
    assigned = (match[1] for match in _ASSIGNED.finditer(text))
    is_one = any(not _is_placeholder(value) and not _PATH.fullmatch(value) for value in assigned)
    return "password or key" if is_one else None


def holds_secret(text: str) -> bool:
    """Whether something in `text` is a secret by its form alone."""
    return bool(_secrets_in(text))


def masked(text: str) -> str:
    """`text` without anything that has the form of a secret."""
    found = {secret for _, secret in _secrets_in(text)}
    if not found:
        return text
    # The longest first, as one may be a part of another.
    return re.sub("|".join(map(re.escape, sorted(found, key=len, reverse=True))), "[secret]", text)


def is_secret_variable(name: str, value: str) -> bool:
    """Whether an environment variable holds a secret, by its value or by its name."""
    if holds_secret(name) or kind_of_secret(value):
        return True
    about = (_PLACE_NAME.search(name) and _PLACE.fullmatch(value)) or (
        _SWITCH_NAME.search(name) and _SWITCH.fullmatch(value)
    )
    return bool(_VARIABLE.search(name)) and not about


def secrets_in(value: Any, path: str = "", *, names_tell: bool = False) -> Iterator[tuple[str, str]]:
    """Path and kind of every secret in plain data, be it a value or a key.

    Args:
        value: the data, as YAML or JSON would hold it.
        path: where it stands.
        names_tell: whether a text is a secret because of its key, too, as under `password`.

    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            where = f"{path}.{key}" if path else str(key)
            yield from secrets_in(str(key), where)
            if names_tell and isinstance(item, str) and not kind_of_secret(item) and kind_of_secret(f"{key}={item}"):
                yield where, "named like one"
            else:
                yield from secrets_in(item, where, names_tell=names_tell)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from secrets_in(item, f"{path}[{index}]", names_tell=names_tell)
    elif isinstance(value, str) and (kind := kind_of_secret(value)) is not None:
        yield path, kind


# Stacks say the same things of many servers.
@lru_cache(maxsize=16_384)
def _secrets_in(text: str) -> tuple[tuple[str, str], ...]:
    if _SHORT_NAME.fullmatch(text):
        return ()
    found = [
        (kind, secret)
        for kind, pattern in _OWN_RULES
        for match in pattern.finditer(text)
        if not _is_placeholder(secret := match[match.lastindex or 0])
    ]
    for start in range(0, max(len(text) - _OVERLAP, 1), _WINDOW - _OVERLAP):
        piece = text[start : start + _WINDOW]
        for kind, analyze in _maintained_rules():
            found += [(kind, secret) for secret in analyze(piece) if not _is_placeholder(secret)]
    return tuple(found)


def _is_placeholder(text: str) -> bool:
    return _PLACEHOLDER.fullmatch(text) is not None


@cache
def _maintained_rules() -> tuple[tuple[str, Callable[[str], Iterable[str]]], ...]:
    """The rules of detect-secrets by what they find, every one that the installed version has."""
    with _unimported("requests"):
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

        classes: Iterable[tuple[str, Any]] = sorted(get_mapping_from_secret_type_to_class().items())
    rules = []
    for kind, rule in classes:
        if rule.__name__ not in _LEFT_OUT:
            analyze = rule().analyze_string
            rules.append((kind, _with_digit(analyze) if rule.__name__ in _NEED_DIGIT else analyze))
    return tuple(rules)


class _Unused(ModuleType):
    """Stands for a module while others are imported that name it, and never use it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


@contextmanager
def _unimported(name: str) -> Iterator[None]:
    """Within it, importing a module that is not imported yet does nothing.

    detect-secrets imports an HTTP client to ask services whether a secret is valid, which is never done here: a plan
    opens no connection, and the client takes three times as long to import as the rules.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = _Unused(name)
    try:
        yield
    finally:
        del sys.modules[name]


def _with_digit(analyze: Callable[[str], Iterable[str]]) -> Callable[[str], Iterable[str]]:
    return lambda text: (secret for secret in analyze(text) if any(map(str.isdigit, secret)))
