"""A server's podPatch: merged into what was planned, shown path by path, and held against what the plan decided."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gke_llm_inference.catalog.pod_fields import ROOT, FieldType, PodFields
from gke_llm_inference.planning.pod.changes import Difference, Steps, differences, path_of
from gke_llm_inference.planning.pod.patch_plan import PodChange, PodPatch
from gke_llm_inference.planning.pod.patch_rules import CONTAINER_LISTS, PatchRules, may_be_acknowledged
from gke_llm_inference.planning.pod.patch_shape import shape_findings
from gke_llm_inference.planning.pod.strategic_merge import strategic_merge
from gke_llm_inference.secret_rules import holds_secret, is_secret_variable, secrets_in
from gke_llm_inference.settings import Finding, suggestion
from gke_llm_inference.settings.base import Image
from gke_llm_inference.settings.parse import nearest
from gke_llm_inference.settings.pod_patch import PodPatchSettings

_FLAG = re.compile(r"--?([A-Za-z][A-Za-z0-9-]*)(?:=(.*))?", re.DOTALL)


def patch_findings(path: str, asked: PodPatchSettings, fields: PodFields) -> Iterator[Finding]:
    """Problems of a patch by itself: its form, secrets in it, and acknowledgments that are no paths.

    Args:
        path: where podPatch stands in the configuration.
        asked: the settings.
        fields: the fields of pod templates.

    """
    if not asked.patch:
        yield Finding(path=f"{path}.patch", what="is empty", why="it changes nothing", fix="remove podPatch")
    yield from shape_findings(f"{path}.patch", asked.patch, fields)
    for where in dict.fromkeys(_secret_paths(asked.patch, f"{path}.patch")):
        yield Finding(
            path=where,
            what="holds a secret",
            why="pod templates are in clear text in manifests, previews and the state",
            fix="keep it in a Secret, and refer to that with secretKeyRef or a volume",
        )
    for index, one in enumerate(asked.overrides):
        if one in asked.overrides[:index]:
            yield Finding(
                path=f"{path}.overrides[{index}]", what="is listed twice", why="once is enough", fix="remove one"
            )


def plan_patch(
    path: str, asked: PodPatchSettings, template: Mapping[str, Any], rules: PatchRules
) -> tuple[PodPatch | None, list[Finding]]:
    """The template after its patch, and what stands against it; None where the patch by itself has problems.

    Args:
        path: where podPatch stands in the configuration.
        asked: the settings.
        template: the template as planned.
        rules: what a patch may change.

    """
    fields = rules.catalog.pod_fields
    if any(patch_findings(path, asked, fields)):
        return None, []
    merged = strategic_merge(template, asked.patch, fields)
    found = list(differences(template, merged.template, fields))
    findings = [
        *(_idle(f"{path}.patch.{where}") for where in merged.idle),
        *_missing(path, merged.template, fields),
        *_images(path, template, merged.template),
    ]
    if not found and not merged.idle:
        findings.append(
            Finding(
                path=f"{path}.patch",
                what="changes nothing",
                why="the pods have all of it already",
                fix="remove podPatch",
            )
        )
    acknowledged = set(asked.overrides)
    changes: list[PodChange] = []
    used: set[str] = set()
    for one in found:
        verdict, where = rules.judge(one), path_of(one.steps)
        covering = {path_of(steps) for steps in _around(one.steps)} & acknowledged
        used |= covering if verdict.kind != "open" else set()
        if verdict.kind == "never" or (verdict.kind == "decided" and not covering):
            fix = "remove it from the patch" if verdict.kind == "never" else _fix(one.steps, verdict.setting, template)
            findings.append(Finding(path=f"{path}.patch", what=f"{where} {verdict.what}", why=verdict.why, fix=fix))
        changes.append(PodChange(path=where, before=one.before, after=one.after, overrides=verdict.kind != "open"))
    findings += _unused(path, asked.overrides, used, found, rules)
    patch = PodPatch(template=merged.template, changes=tuple(changes))
    if used:
        findings.append(_warning(path, patch))
    return patch, findings


def _fix(steps: Steps, setting: str, template: Mapping[str, Any]) -> str:
    """How to change what the plan decided, or to leave it."""
    if len(steps) == 3 and steps[1] in CONTAINER_LISTS:
        meant = nearest(steps[2][1:-1], [one["name"] for one in template["spec"].get(steps[1], ())])
        if meant is not None:
            return f"did you mean {meant}?"
    instead = f", set {setting} instead" if setting else ""
    return f"remove it from the patch{instead}, or add {path_of(steps)} to podPatch.overrides"


def _around(steps: Steps) -> Iterator[Steps]:
    """The places that a change is in, and that may be acknowledged."""
    for length in range(1, len(steps) + 1):
        if may_be_acknowledged(steps[:length]):
            yield steps[:length]


def _idle(path: str) -> Finding:
    return Finding(
        path=path,
        what="does nothing",
        why="the pods do not have what it would remove, replace or retain",
        fix="correct its name, or remove it",
    )


def _unused(
    path: str, overrides: Sequence[str], used: set[str], found: Sequence[Difference], rules: PatchRules
) -> Iterator[Finding]:
    """Acknowledgments of nothing: they would allow a later change that nobody looked at."""
    possible = {path_of(steps) for one in found if rules.judge(one).kind == "decided" for steps in _around(one.steps)}
    for index, one in enumerate(overrides):
        if one in used:
            continue
        yield Finding(
            path=f"{path}.overrides[{index}]",
            what="acknowledges nothing that the patch changes",
            why="it would let a later change pass that nobody looked at",
            fix=suggestion(one, possible) if possible else "remove it",
        )


def _warning(path: str, patch: PodPatch) -> Finding:
    paths = [change.path for change in patch.overrides]
    return Finding(
        path=f"{path}.overrides",
        what=f"overrides what the plan decided: {', '.join(paths)}",
        why="memory, machine, start, speed and cost are planned for what the plan decided",
        fix="see that the figures still hold for your pods",
        severity="warning",
    )


def _missing(path: str, template: Mapping[str, Any], fields: PodFields) -> Iterator[Finding]:
    """Fields that Kubernetes asks for, and that what the patch adds does not have."""
    for steps, of, value in _objects((), template, FieldType(ROOT), fields):
        for name in fields.types[of].required:
            if name not in value:
                yield Finding(
                    path=f"{path}.patch",
                    what=f"leaves {path_of(steps)} without {name}",
                    why="Kubernetes rejects it",
                    fix=f"add {name}",
                )


def _objects(
    steps: Steps, value: Any, kind: FieldType, fields: PodFields
) -> Iterator[tuple[Steps, str, Mapping[str, Any]]]:
    if kind.is_list:
        for index, item in enumerate(value):
            name = item.get(kind.merge_key, index) if kind.merge_key else index
            yield from _objects((*steps, f"[{name}]"), item, kind.one, fields)
    elif kind.item in fields.types and not kind.is_map:
        yield steps, kind.item, value
        for key, item in sorted(value.items()):
            field = fields.field(kind.item, key)
            if field is not None:
                yield from _objects((*steps, key), item, field, fields)


def _images(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    """Images that the patch gives and that are none, or have no version."""
    form: TypeAdapter[str] = TypeAdapter(Image)
    for key in CONTAINER_LISTS:
        known = {one["name"]: one.get("image") for one in before["spec"].get(key, ())}
        for one in after.get("spec", {}).get(key, ()):
            name, image = one.get("name"), one.get("image")
            if image is not None and image == known.get(name):
                continue
            if image is None:
                what = f"leaves spec.{key}[{name}] without image"
                yield Finding(path=f"{path}.patch", what=what, why="Kubernetes rejects it", fix="add image")
                continue
            try:
                form.validate_python(image)
            except ValidationError as error:
                said = error.errors()[0]["ctx"]
                what = f"spec.{key}[{name}].image {said['what']}"
                yield Finding(path=f"{path}.patch", what=what, why=said["why"], fix=said["fix"])


def _secret_paths(value: Any, path: str) -> Iterator[str]:
    """Where a patch holds a secret by its form, by its name, or by that of its variable, header or flag."""
    for where, _ in secrets_in(value, path, names_tell=True):
        yield where
    yield from _named_secrets(value, path)


def _named_secrets(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        name, text = value.get("name"), value.get("value")
        if isinstance(name, str) and isinstance(text, str) and is_secret_variable(_as_variable(name), text):
            yield path if holds_secret(name) else f"{path}.value"
        for key, item in value.items():
            yield from _named_secrets(item, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            where = f"{path}[{index}]"
            flag = _FLAG.fullmatch(item) if isinstance(item, str) else None
            if flag is not None:
                following = value[index + 1] if index + 1 < len(value) else ""
                given, at = (flag[2], where) if flag[2] is not None else (following, f"{path}[{index + 1}]")
                is_value = isinstance(given, str) and given and not given.startswith("-")
                if is_value and is_secret_variable(_as_variable(flag[1]), given):
                    yield at
            yield from _named_secrets(item, where)


def _as_variable(name: str) -> str:
    return name.replace("-", "_").upper()
