"""Uniform resource names, built as the Pulumi engine builds them."""

STACK_TYPE = "pulumi:pulumi:Stack"
"""Type token of the root resource that every program gets."""

_PROVIDER_PREFIX = "pulumi:providers:"


def make_urn(stack: str, project: str, parent: str | None, type_: str, name: str) -> str:
    """The URN of a resource: the types of its ancestors but the root stack, then its own type and name."""
    qualified = type_
    if parent:
        parent_type = qualified_type(parent)
        if parent_type != STACK_TYPE:
            qualified = f"{parent_type}${type_}"
    return f"urn:pulumi:{stack}::{project}::{qualified}::{name}"


def qualified_type(urn: str) -> str:
    """The chain of types in a URN, outermost first, joined by `$`. Raises ValueError for what is not a URN."""
    parts = urn.split("::", 3)
    if len(parts) != 4 or not urn.startswith("urn:"):
        raise ValueError("not a URN")
    return parts[2]


def is_provider_type(type_: str) -> bool:
    """Whether a type token is that of an explicit provider."""
    return type_.startswith(_PROVIDER_PREFIX)


def package_of(type_: str) -> str | None:
    """The package that serves a `package:module:Type` token, None for a token of another form."""
    parts = type_.split(":")
    if len(parts) != 3:
        return None
    return parts[2] if is_provider_type(type_) else parts[0]


def provider_urn(reference: str) -> str | None:
    """The URN in a provider reference (`urn::id`), None for an empty reference."""
    return reference.rpartition("::")[0] or None
