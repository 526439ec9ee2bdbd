"""Reading YAML as the Pulumi CLI does: YAML 1.2's scalars, so that `yes` is a string and dates are strings.

Keys given twice are errors.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from gke_llm_inference.errors import ConfigError

_LARGEST_FILE_BYTES = 4 * 1024 * 1024


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Safe, without the surprises of YAML 1.1, and strict about duplicate keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
    ("tag:yaml.org,2002:merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


def _construct_mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (dict, list)):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, "this key is given twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True) for key, value in node.value
    }


def _construct_int(loader: Any, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    if text[:2] in ("0o", "0x"):
        return int(text, 0)
    return int(text)


def _construct_float(loader: Any, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)))


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def read_mapping(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds, {} for an empty file.

    Raises:
        ConfigError: the file cannot be read or holds no mapping. Its text never quotes the file's content.

    """
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {_LARGEST_FILE_BYTES} bytes, which is not a configuration file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - derives from the safe loader
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_yaml_problem(path, error)) from None
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"{path}: is not valid YAML: it holds characters that YAML does not allow") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold a mapping of keys to values")
    return content


def _yaml_problem(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    # What stands between quotes may come from the file; token names like '<block end>' do not.
    problem = re.sub(r"'[^<'][^']*'|\"[^\"]*\"", "…", error.problem or "malformed")
    return f"{where}: not valid YAML: {problem}"


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would take for something other than text."""


for _character in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}:
    _Dumper.yaml_implicit_resolvers = {
        **_Dumper.yaml_implicit_resolvers,
        _character: [
            *yaml.SafeDumper.yaml_implicit_resolvers.get(_character, []),
            *_Loader.yaml_implicit_resolvers.get(_character, []),
        ],
    }


def as_yaml(value: Any) -> str:
    """YAML that `read_mapping` reads back as the same value; keys in the given order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
