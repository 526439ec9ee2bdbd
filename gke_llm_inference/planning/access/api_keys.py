"""How a server gets its API keys: from a variable, or where it reads several, from a file that is mounted."""

import json
from collections.abc import Iterator, Mapping, Sequence

from gke_llm_inference.catalog import Catalog
from gke_llm_inference.planning.access.exposed import asks_for_key
from gke_llm_inference.planning.access.plan import ApiKeyPlan
from gke_llm_inference.planning.names import dns_label
from gke_llm_inference.planning.versions import full_version, version_parts
from gke_llm_inference.settings import (
    ConfigApiKeys,
    ExistingSecretApiKeys,
    Finding,
    NoApiKeys,
    SecretManagerApiKeys,
    ServerSettings,
    StackSettings,
)

KEYS_DIRECTORY = "/etc/llm-inference/api-keys"
"""Where the file with several keys is mounted."""
_FILE = "api-keys.yaml"
_ONE_KEY = "api_key"
# What takes a part of a path away before vLLM looks whether it needs a key.
_ROOT_PATH = "--root-path"


def plan_api_keys(key: str, settings: ServerSettings, project: str | None, catalog: Catalog) -> ApiKeyPlan | None:
    """How a server gets its API keys; None where it has none.

    Args:
        key: the server's name in the configuration.
        settings: the server's settings.
        project: Google Cloud project of the stack, if there is one.
        catalog: the facts to decide by.

    """
    asked = settings.api_keys
    secret_name = dns_label(f"{dns_label(key)}-api-keys")
    count: int | None = 1
    file_key = None
    match asked:
        case NoApiKeys():
            return None
        case ConfigApiKeys(keys=keys):
            count = len(keys)
            file = count > 1
            secret_key = _FILE if file else _ONE_KEY
            file_key = _FILE if file or _reads_file(settings, catalog) else None
        case ExistingSecretApiKeys() | SecretManagerApiKeys():
            file = asked.content == "vllmConfiguration"
            count = None if file else 1
            secret_key = asked.secret_key
            if isinstance(asked, ExistingSecretApiKeys):
                secret_name = asked.secret_name
    return ApiKeyPlan(
        settings=asked,
        secret_name=secret_name,
        secret_key=secret_key,
        count=count,
        variable=None if file else catalog.access[settings.server].key_variable,
        file=f"{KEYS_DIRECTORY}/{_FILE}" if file else None,
        file_key=file_key,
        reader_name=dns_label(f"{secret_name}-reader"),
        project=project,
    )


def _reads_file(settings: ServerSettings, catalog: Catalog) -> bool:
    """Whether a server's version may be given several keys."""
    since = catalog.access[settings.server].key_file_since
    version = full_version(settings.version or catalog.servers[settings.server].default_version)
    return since is not None and version_parts(version) >= version_parts(since)


def secret_content(plan: ApiKeyPlan, keys: Sequence[str]) -> dict[str, str]:
    """What stands in a Secret that the stack makes, by key.

    It is the same for one key and for two: a pod that starts while another number of keys is rolled out finds what its
    own template names. One that reads a single key is from before the new one came, so it gets the last.

    Args:
        plan: how the server gets its keys.
        keys: the keys in the order of the settings, the new one first.

    """
    content = {_ONE_KEY: keys[-1]}
    if plan.file_key is not None:
        # JSON is YAML too.
        content[plan.file_key] = json.dumps({"api-key": list(keys)})
    return content


def api_key_arguments(plan: ApiKeyPlan | None) -> tuple[str, ...]:
    """Arguments with which a server reads its keys from a file: two, as vLLM looks for the flag by itself."""
    return ("--config", plan.file) if plan and plan.file else ()


def api_key_environment(settings: ServerSettings, catalog: Catalog) -> Mapping[str, str]:
    """Variables without which a server with a key would log it."""
    return catalog.access[settings.server].environment_with_key if asks_for_key(settings) else {}


def api_key_findings(
    path: str, settings: ServerSettings, version: str, project: str | None, catalog: Catalog
) -> Iterator[Finding]:
    """Problems of a server's API keys.

    Args:
        path: where the server stands in the configuration.
        settings: the server's settings.
        version: its version.
        project: Google Cloud project of the stack, if there is one.
        catalog: the facts to decide by.

    """
    asked = settings.api_keys
    if isinstance(asked, NoApiKeys):
        return
    facts, title = catalog.access[settings.server], catalog.servers[settings.server].title
    several = len(asked.keys) > 1 if isinstance(asked, ConfigApiKeys) else asked.content == "vllmConfiguration"
    where = f"{path}.apiKeys." + ("keys" if isinstance(asked, ConfigApiKeys) else "content")
    since = facts.key_file_since
    if several and since is None:
        yield Finding(
            path=where,
            what=f"{title} takes one key only",
            why="it compares requests with a single key",
            fix="give one key; while it changes, clients try the other one after a 401 (docs/access.md)",
        )
    elif several and since is not None and version_parts(version) < version_parts(since):
        yield Finding(
            path=where,
            what=f"{title} {version} would write its keys to the log",
            why=f"before {since} it logs what it reads from a file; one key is read from a variable, and not logged",
            fix=f"use version {since} or later; or give one key, and let clients try the other one after a 401",
        )
    if isinstance(asked, ConfigApiKeys) and len(set(asked.keys)) < len(asked.keys):
        yield Finding(
            path=where,
            what=f"names {asked.keys[0]} twice",
            why="the new key and the old one are two",
            fix="name each config value once",
        )
    if isinstance(asked, SecretManagerApiKeys) and project is None:
        yield Finding(
            path="gcp:project",
            what="is missing",
            why="Secret Manager lets the cluster in by the workload identity pool of its project",
            fix="pulumi config set gcp:project PROJECT",
        )
    for name in sorted({facts.key_variable, *facts.environment_with_key} & settings.extra_env.keys()):
        yield Finding(
            path=f"{path}.extraEnv.{name}",
            what="is decided by apiKeys",
            why="the server reads its key from it" if name == facts.key_variable else "the server would log its key",
            fix="remove it",
        )
    for index, argument in enumerate(settings.extra_args):
        if argument.partition("=")[0].replace("_", "-") == _ROOT_PATH:
            yield Finding(
                path=f"{path}.extraArgs[{index}]",
                what=f"{_ROOT_PATH} does not go with apiKeys",
                why="the server takes it off a path before it looks whether the path needs the key",
                fix="remove it; the load balancer passes paths on as they are",
            )


def secret_name_findings(settings: StackSettings, catalog: Catalog) -> Iterator[Finding]:
    """Problems of Secrets and service accounts that would get one name."""
    taken = {dns_label(key): f"servers.{key}" for key in settings.servers}
    token = getattr(settings.hugging_face, "secret_name", None)
    secrets = {token: "huggingFace.secretName"} if token else {}
    for key, server in sorted(settings.servers.items()):
        plan = plan_api_keys(key, server, None, catalog)
        if plan is None or isinstance(server.api_keys, ExistingSecretApiKeys):
            continue
        other = secrets.setdefault(plan.secret_name, f"servers.{key}.apiKeys")
        if other != f"servers.{key}.apiKeys":
            yield _clash(f"servers.{key}.apiKeys", "Secret", plan.secret_name, other)
        if isinstance(server.api_keys, SecretManagerApiKeys):
            other = taken.setdefault(plan.reader_name, f"servers.{key}.apiKeys")
            if other != f"servers.{key}.apiKeys":
                yield _clash(f"servers.{key}.apiKeys", "service account", plan.reader_name, other)


def _clash(path: str, what: str, name: str, other: str) -> Finding:
    return Finding(
        path=path,
        what=f"gets a {what} with the name that {other} has: {name}",
        why="Kubernetes objects are found by name",
        fix="rename one of them",
    )
