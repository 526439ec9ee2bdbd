"""Changes one value of a stack file and leaves every other byte of it as it is, comments included."""

from collections.abc import Iterator, Mapping

import yaml

from gke_llm_inference.errors import ConfigError


def with_value(text: str, key: str, value: Mapping[str, str]) -> str:
    """The text of a stack file in which a key of `config` has another value; without the key where that is empty.

    Raises:
        ConfigError: the file is not one of a stack.

    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        raise ConfigError("the stack's file is not YAML") from None
    config = _entry(root, "config") if isinstance(root, yaml.MappingNode) else None
    if config is None or not isinstance(config[1], yaml.MappingNode) or config[1].flow_style or not config[1].value:
        raise ConfigError("the stack's file has no section config: with a key on each line")
    keys = config[1]
    indent = keys.value[0][0].start_mark.column
    lines = text.splitlines(keepends=True)
    new = _block(key, value, indent)
    present = _entry(keys, key)
    if present is not None:
        first, last = present[0].start_mark.line, _last_line(present[1])
        return "".join([*lines[:first], *new, *lines[last + 1 :]])
    last = _last_line(keys)
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    return "".join([*lines[: last + 1], *new, *lines[last + 1 :]])


def _block(key: str, value: Mapping[str, str], indent: int) -> list[str]:
    if not value:
        return []
    text = yaml.safe_dump({key: dict(sorted(value.items()))}, default_flow_style=False, width=1000)
    return [f"{' ' * indent}{line}" for line in text.splitlines(keepends=True)]


def _entry(mapping: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((name, value) for name, value in mapping.value if name.value == key), None)


def _last_line(node: yaml.Node) -> int:
    """Where a value ends, without the comments and empty lines that a block mapping is said to end after."""
    return max(_end_lines(node))


def _end_lines(node: yaml.Node) -> Iterator[int]:
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        yield node.start_mark.line
        for name, value in node.value:
            yield name.end_mark.line
            yield from _end_lines(value)
    elif isinstance(node, yaml.SequenceNode) and not node.flow_style:
        yield node.start_mark.line
        for item in node.value:
            yield from _end_lines(item)
    elif isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        # A block scalar ends at the beginning of the line after it.
        yield node.end_mark.line - 1
    else:
        yield node.end_mark.line
