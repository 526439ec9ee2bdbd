"""Writes the fields of a pod template, and how a strategic merge patch merges them, to the catalog.

`python -m tools.extract_pod_fields SWAGGER --kubernetes VERSION --date YYYY-MM-DD` reads Kubernetes' own description of
its API, `api/openapi-spec/swagger.json` of the Go module `k8s.io/kubernetes`. It has the patch strategies and merge
keys of the Go types in `k8s.io/api` as `x-kubernetes-patch-strategy` and `x-kubernetes-patch-merge-key`.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gke_llm_inference.catalog.pod_fields import FILE

ROOT = "PodTemplateSpec"
_SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "text",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intOrString",
}
_TYPES = {"boolean": "boolean", "integer": "integer", "number": "number", "string": "text"}
# Of an object's metadata, what the template of a Deployment's pods has a use for.
_METADATA = ("annotations", "labels")
_HEADER = "# Made by `python -m tools.extract_pod_fields`; change the tool, not this file.\n"


class UnexpectedError(Exception):
    """The description has something that a patch of pods was not made for."""


def extracted(swagger: Mapping[str, Any]) -> dict[str, Any]:
    """Types by name, sorted: their fields with types, and which of them are required.

    Args:
        swagger: the document.

    Raises:
        UnexpectedError: there is a patch strategy, or a type, that is not known here.

    """
    definitions = {name.rpartition(".")[2]: (name, one) for name, one in swagger["definitions"].items() if _used(name)}
    found: dict[str, Any] = {}
    todo = [ROOT]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        fields = definitions[name][1]["properties"]
        if name == "ObjectMeta":
            fields = {key: fields[key] for key in _METADATA}
        types = {key: _field(f"{name}.{key}", field) for key, field in sorted(fields.items())}
        found[name] = {"fields": types}
        required = sorted(definitions[name][1].get("required", ()))
        if required:
            found[name]["required"] = required
        words = {word for text in types.values() for word in text.replace(",", " ").split()}
        todo += sorted(word for word in words if word in definitions)
    return dict(sorted(found.items()))


def _used(name: str) -> bool:
    return name.startswith(("io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."))


def _field(where: str, field: Mapping[str, Any]) -> str:
    strategy, key = field.get("x-kubernetes-patch-strategy", ""), field.get("x-kubernetes-patch-merge-key", "")
    match field.get("type"):
        case "array":
            by = f" by {key}" if strategy.split(",")[0] == "merge" and key else ""
            if bool(strategy) != bool(by) or strategy not in ("", "merge", "merge,retainKeys"):
                raise UnexpectedError(f"{where}: patch strategy {strategy}, merge key {key}")
            return f"list of {_field(where, field['items'])}{by}"
        case _ if strategy:
            raise UnexpectedError(f"{where}: patch strategy {strategy}")
        case "object":
            return f"map of {_field(where, field['additionalProperties'])}"
        case None:
            reference = field["$ref"].rpartition("/")[2]
            return _SCALARS.get(reference) or reference.rpartition(".")[2]
        case scalar:
            return _TYPES[scalar]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 if the file was written."""
    parser = argparse.ArgumentParser(prog="python -m tools.extract_pod_fields", description=__doc__)
    parser.add_argument("swagger", type=Path, help="api/openapi-spec/swagger.json of k8s.io/kubernetes")
    parser.add_argument("--kubernetes", required=True, help="version of that module, such as 1.36.3")
    parser.add_argument("--date", required=True, help="the date to record, YYYY-MM-DD")
    options = parser.parse_args(arguments)
    document = {
        "source": f"api/openapi-spec/swagger.json of k8s.io/kubernetes v{options.kubernetes}",
        "date": options.date,
        "types": extracted(json.loads(options.swagger.read_text("utf-8"))),
    }
    FILE.write_text(_HEADER + yaml.safe_dump(document, sort_keys=False, width=120), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
