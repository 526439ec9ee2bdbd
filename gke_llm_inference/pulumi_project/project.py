"""Reading `Pulumi.yaml` and a stack's file into what a program sees as its configuration, as the CLI does.

Encrypted values are never decrypted: the program gets `[secret]` in their place, and the ciphertext goes
nowhere.
"""

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gke_llm_inference.errors import ConfigError, UsageError
from gke_llm_inference.pulumi_project.names import is_name
from gke_llm_inference.pulumi_project.yaml_files import read_mapping
from gke_llm_inference.secret_rules import masked
from gke_llm_inference.terminal import SECRET, printable

_STACK_FILE = re.compile(r"Pulumi\.(.+)\.ya?ml")
_DEFAULT_ORGANIZATION = "organization"
_TYPED_KEYS = frozenset({"type", "default", "value", "description", "secret", "items"})
_STACK_KEYS = frozenset({"config", "encryptionsalt", "secretsprovider", "encryptedkey", "environment"})
_CONFIG_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@dataclass(frozen=True)
class Project:
    """A Pulumi project: where it is and what its `Pulumi.yaml` says."""

    directory: Path
    name: str
    program: Path
    """The file that is run; a stack file outside of any project has none."""
    stack_directory: Path
    """Where the stacks' files lie."""
    config: dict[str, Any]
    """The `config:` section as written."""


@dataclass(frozen=True)
class StackConfig:
    """What a program reads as its configuration."""

    stack: str
    organization: str
    values: dict[str, str]
    """By `namespace:key`; objects as compact JSON."""
    secret_keys: tuple[str, ...]
    file: str
    """Name of the stack's file."""


def find_project_directory(start: Path, fallback: Path | None = None) -> Path:
    """The nearest directory upward from `start` that holds a Pulumi.yaml, else `fallback`.

    Raises:
        ConfigError: there is neither.

    """
    for directory in (start, *start.parents):
        if _project_file(directory) is not None:
            return directory
    if fallback is None:
        raise ConfigError(
            f"{start}: no Pulumi.yaml here or in a directory above; change to the project's directory, or name it with "
            "--project-dir"
        )
    return fallback


def is_project_directory(directory: Path) -> bool:
    """Whether a directory holds a Pulumi.yaml."""
    return _project_file(directory) is not None


def project_without_program(directory: Path, name: str) -> Project:
    """What stands in for the project of a stack file that belongs to none.

    Args:
        directory: where paths in the stack's file start.
        name: namespace of its settings.

    """
    return Project(directory, name, directory / "__main__.py", directory, {})


def load_project(directory: Path) -> Project:
    """Read the project in a directory. Raises ConfigError if there is none or it makes no sense."""
    path = _project_file(directory)
    if path is None:
        raise ConfigError(f"{directory}: no Pulumi.yaml here; name the project with --project-dir")
    content = read_mapping(path)
    name = content.get("name")
    if not isinstance(name, str) or not name or "::" in name:
        raise ConfigError(f"{path}: 'name' must be the project's name")
    runtime = content.get("runtime")
    language = runtime.get("name") if isinstance(runtime, dict) else runtime
    if language != "python":
        raise ConfigError(f"{path}: 'runtime' is not python; only Python programs can be previewed")
    config = content.get("config")
    stack_directory = content.get("stackConfigDir", "")
    if isinstance(config, str):  # the older way to name the directory of the stacks' files
        stack_directory, config = config, None
    if config is not None and not isinstance(config, dict):
        raise ConfigError(f"{path}: 'config' must be a mapping")
    return Project(
        directory=directory,
        name=name,
        program=_program(directory, content.get("main"), path),
        stack_directory=directory / str(stack_directory or ""),
        config={str(key): value for key, value in (config or {}).items()},
    )


def load_stack(project: Project, stack: str | None, config_file: Path | None) -> StackConfig:
    """The configuration of a stack, by its name, by the path of its file, or both.

    Raises UsageError without either, ConfigError for a file that is missing or wrong.
    """
    if stack is None and config_file is None:
        raise UsageError("name a stack with --stack or its file with --config-file")
    organization = _DEFAULT_ORGANIZATION
    if stack is not None:
        for part in stack.split("/"):
            check_stack_name(part, stack)
    if stack is not None and "/" in stack:
        organization, _, stack = stack.rpartition("/")
        organization = organization.partition("/")[0]
    if stack is None:
        assert config_file is not None
        stack = stack_of_file(config_file) or config_file.stem
    if not is_name(stack):
        raise UsageError(f"'{printable(stack)}', from the file's name, is not a valid stack name; add --stack")
    path = config_file or _stack_file(project, stack)
    values, secret_keys = _stack_values(project, path)
    _apply_project_config(project, stack, path, values, secret_keys)
    return StackConfig(
        stack=stack,
        organization=organization,
        values=dict(sorted(values.items())),
        secret_keys=tuple(sorted(secret_keys)),
        file=path.name,
    )


def check_stack_name(name: str, whole: str | None = None) -> None:
    """Raise UsageError for what cannot be a stack's name, or a part of the `whole` one."""
    if not is_name(name):
        form = "use letters, digits, '.', '_' and '-', at most 100"
        raise UsageError(f"'{printable(whole or name)}' is not a valid stack name: {form}")


def stack_of_file(path: Path) -> str | None:
    """The stack whose file a path names; None if it has another form."""
    match = _STACK_FILE.fullmatch(path.name)
    return match[1] if match else None


def stacks_of(project: Project) -> list[str]:
    """Names of the stacks that have a file, sorted."""
    if not project.stack_directory.is_dir():
        return []
    matches = (_STACK_FILE.fullmatch(path.name) for path in project.stack_directory.iterdir())
    return sorted({match[1] for match in matches if match})


def _project_file(directory: Path) -> Path | None:
    for name in ("Pulumi.yaml", "Pulumi.yml"):
        if (directory / name).is_file():
            return directory / name
    return None


def _program(directory: Path, main: Any, path: Path) -> Path:
    if main is not None and not isinstance(main, str):
        raise ConfigError(f"{path}: 'main' must be a path")
    program = directory / (main or "")
    if program.is_dir():
        program /= "__main__.py"
    if not program.is_file():
        raise ConfigError(f"{program}: the program of {path} is missing")
    return program.resolve()


def _stack_file(project: Project, stack: str) -> Path:
    for extension in ("yaml", "yml"):
        path = project.stack_directory / f"Pulumi.{stack}.{extension}"
        if path.is_file():
            return path
    known = stacks_of(project)
    message = f"there is no stack '{stack}': {project.stack_directory / f'Pulumi.{stack}.yaml'} does not exist"
    near = difflib.get_close_matches(stack, known, n=1)
    if near:
        message += f"; did you mean '{near[0]}'?"
    message += f"\nstacks here: {', '.join(known)}" if known else "\nthere are no stacks here"
    raise ConfigError(message)


def _stack_values(project: Project, path: Path) -> tuple[dict[str, str], set[str]]:
    content = read_mapping(path)
    unknown = sorted(key for key in map(str, content) if key not in _STACK_KEYS)
    if unknown:
        listed = ", ".join(masked(printable(key)) for key in unknown)
        raise ConfigError(f"{path}: not a key of a stack's file: {listed}; settings belong under 'config:'")
    config = content.get("config") or {}
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: 'config' must be a mapping")
    values: dict[str, str] = {}
    secret_keys: set[str] = set()
    for raw_key, raw_value in config.items():
        key = _full_key(project.name, str(raw_key), path)
        if key in values:
            raise ConfigError(f"{path}: '{masked(printable(key))}' is set twice, with and without its namespace")
        value, secret = _without_secrets(raw_value)
        values[key] = _text(value)
        if secret:
            secret_keys.add(key)
    return values, secret_keys


def _full_key(project: str, key: str, path: Path) -> str:
    namespace, colon, name = key.rpartition(":")
    if not colon:
        return f"{project}:{key}"
    # `namespace:config:name` is how the CLI wrote keys long ago, and still reads them.
    namespace = namespace.removesuffix(":config")
    if not namespace or not name or ":" in namespace:
        raise ConfigError(f"{path}: '{masked(printable(key))}' is not a valid config key; write it as 'namespace:name'")
    return f"{namespace}:{name}"


def _without_secrets(value: Any) -> tuple[Any, bool]:
    """The value with `[secret]` for everything encrypted, and whether there was any."""
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            return SECRET, True
        items = {str(key): _without_secrets(item) for key, item in value.items()}
        return {key: item for key, (item, _) in items.items()}, any(secret for _, secret in items.values())
    if isinstance(value, list):
        pairs = [_without_secrets(item) for item in value]
        return [item for item, _ in pairs], any(secret for _, secret in pairs)
    return value, False


def _text(value: Any) -> str:
    """A config value as a program receives it: strings as they are, all else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(_json_numbers(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _json_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # Go writes 1.0 as 1
    return value


def _apply_project_config(
    project: Project, stack: str, path: Path, values: dict[str, str], secret_keys: set[str]
) -> None:
    """Add the project's defaults and checks the types that the project declares."""
    missing: list[str] = []
    for raw_key, declared in sorted(project.config.items()):
        key = _full_key(project.name, raw_key, project.directory / "Pulumi.yaml")
        typed = isinstance(declared, dict) and declared and set(declared) <= _TYPED_KEYS
        given: Any = declared if not typed else declared.get("default", declared.get("value"))
        if key not in values:
            if given is not None:
                value, secret = _without_secrets(given)
                values[key] = _text(value)
                if secret:
                    secret_keys.add(key)
            elif key.startswith(f"{project.name}:"):
                missing.append(raw_key)
        elif typed:
            _check_declared(declared, raw_key, key, stack, path, values, secret_keys)
    if missing:
        names = ", ".join(f"'{masked(name)}'" for name in missing)
        raise ConfigError(f"{path}: stack '{stack}' lacks required configuration: {names}")


def _check_declared(
    declared: dict[str, Any],
    raw_key: str,
    key: str,
    stack: str,
    path: Path,
    values: dict[str, str],
    secret_keys: set[str],
) -> None:
    if key in secret_keys:
        return  # its type is not known without decrypting it
    if declared.get("secret"):
        raise ConfigError(
            f"{path}: '{masked(raw_key)}' of stack '{stack}' must be encrypted, the project says it is secret"
        )
    expected = declared.get("type")
    if expected is None or expected == "string":
        return
    try:
        value = json.loads(values[key])
    except ValueError:
        value = values[key]
    accepted = _CONFIG_TYPES.get(str(expected))
    if accepted and (not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted)):
        raise ConfigError(f"{path}: '{masked(raw_key)}' of stack '{stack}' must be of type '{expected}'")
