"""Credentials: they stand in Secrets, nowhere else."""

import re
from collections.abc import Iterator

from gke_llm_inference.policy.model import NoSettings, ResourcePolicy
from gke_llm_inference.policy.resources import Opaque, Resource, at, items, texts
from gke_llm_inference.policy.workloads import pod_specs
from gke_llm_inference.secret_rules import holds_secret, masked

_CREDENTIAL_VARIABLE = re.compile(r"(^|_)(TOKEN|API_KEY|PASSWORD|SECRET)$")
_CREDENTIAL_FLAG = r"--?(?:hf[-_]token|api[-_]key)"
_FLAG_WITH_VALUE = re.compile(rf"{_CREDENTIAL_FLAG}(?:=|\s+)[\"']?(?![$-])\S")
_FLAG_ALONE = re.compile(_CREDENTIAL_FLAG)
# Where a secret is at home: the fields of the resources that hold secrets.
_HOMES = {
    "kubernetes:core/v1:Secret": ("data", "stringData"),
    "kubernetes:helm.sh/v3:Release": ("values", "valueYamlFiles"),
    "gcp:secretmanager/secretVersion:SecretVersion": ("secretData", "secretDataWo"),
    "gcp:secretmanager/regionalSecretVersion:RegionalSecretVersion": ("secretData",),
}


def _credentials(resource: Resource, _: NoSettings) -> Iterator[str]:
    if resource.package not in ("gcp", "kubernetes"):
        return
    home = _HOMES.get(resource.type, ())
    searched = {key: value for key, value in resource.properties.items() if key not in home}
    paths = {path for path, text in texts(searched) if _is_credential(text, resource)}
    paths |= set(_in_containers(resource))
    yield from (f"{masked(path)} holds a credential in plain text" for path in sorted(paths))


def _is_credential(text: str | Opaque, resource: Resource) -> bool:
    if isinstance(text, Opaque):
        # Fields of cloud resources may be made for secrets; a manifest shows every field but those of a Secret.
        return resource.package == "kubernetes"
    return holds_secret(text)


def _in_containers(resource: Resource) -> Iterator[str]:
    """Paths of what is a credential by its name: an environment variable or a flag."""
    for path, spec in pod_specs(resource):
        for part in ("initContainers", "containers"):
            for index, container in enumerate(items(at(spec, part))):
                where = f"{path}.{part}[{index}]"
                yield from _in_environment(container, where)
                for field in ("args", "command"):
                    yield from _in_words(at(container, field), f"{where}.{field}")


def _in_environment(container: object, where: str) -> Iterator[str]:
    for position, variable in enumerate(items(at(container, "env"))):
        name, value = at(variable, "name"), at(variable, "value")
        if not isinstance(name, str) or not _CREDENTIAL_VARIABLE.search(name.upper()):
            continue
        if isinstance(value, str) and value and not value.startswith("$("):
            yield f"{where}.env[{position}].value"
        if isinstance(at(variable, "valueFrom", "configMapKeyRef"), dict):
            yield f"{where}.env[{position}].valueFrom.configMapKeyRef"


def _in_words(words: object, where: str) -> Iterator[str]:
    given = items(words)
    for position, word in enumerate(given):
        if not isinstance(word, str):
            continue
        following = at(given, position + 1)
        if _FLAG_WITH_VALUE.search(word):
            yield f"{where}[{position}]"
        elif _FLAG_ALONE.fullmatch(word) and isinstance(following, str) and not following.startswith(("$(", "-")):
            yield f"{where}[{position + 1}]"


TOKEN_FROM_SECRET = ResourcePolicy(
    name="token-from-secret",
    what="Credentials come from Secrets: none is in a manifest, an argument or a ConfigMap.",
    why="What is there can be read by everybody who may look at pods, previews and the state.",
    fix="take the variable from a secretKeyRef; huggingFace.tokenSource has three ways for the Hugging Face token",
    check=_credentials,
)
