"""A podPatch is merged as Kubernetes merges it, shown path by path, and may not touch what the plan decided unsaid."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.cli.plan_report import stack_document, stack_text
from gke_llm_inference.planning.pod.changes import differences
from gke_llm_inference.planning.pod.patch_plan import PodChange
from gke_llm_inference.planning.pod.patch_shape import shape_findings
from gke_llm_inference.planning.pod.strategic_merge import strategic_merge
from gke_llm_inference.planning.pod.template import planned_template, pod_template
from gke_llm_inference.settings import Finding, Refusal, parse_settings
from gke_llm_inference.settings.merge import merged
from gke_llm_inference.terminal import Look
from tests.planning.patches import patches
from tests.planning.support import (
    QWEN,
    TGI,
    existing_stack,
    only_problem,
    only_server,
    outcome_of,
    planned,
    problems_of,
    standard_stack,
)
from tests.settings.support import Raw

FIELDS = load_catalog().pod_fields
SERVER = {**QWEN, "maxModelLen": 4096}
PATCH = "servers.chat.podPatch.patch"
IN_SERVER = "spec.containers[inference-server]"
TOKEN = "hf_" + "a1B2" * 8


def on_l4(patch: str | Raw, *overrides: str, **server: Any) -> Raw:
    """A stack whose server has a patch, which may be written as YAML."""
    asked = {"patch": yaml.safe_load(patch) if isinstance(patch, str) else patch, "overrides": list(overrides)}
    return standard_stack({"l4": {"maxNodes": 2}}, {"chat": {**SERVER, "podPatch": asked, **server}})


def in_server(text: str) -> str:
    return f"{{spec: {{containers: [{{name: inference-server, {text}}}]}}}}"


PLAIN = only_server(standard_stack({"l4": {"maxNodes": 2}}, {"chat": SERVER}))
TEMPLATE = planned_template(PLAIN)


def test_what_the_plan_left_open_is_added_and_shown() -> None:
    server = only_server(
        on_l4(
            """
            metadata: {annotations: {example.com/a: b}}
            spec:
              hostAliases: [{ip: 10.0.0.1, hostnames: [registry.internal]}]
              dnsConfig: {options: [{name: ndots, value: "2"}]}
              volumes: [{name: tokens, projected: {sources: [{secret: {name: s}}]}}]
              containers:
                - name: inference-server
                  env: [{name: REGION, value: eu}]
                  volumeMounts: [{name: tokens, mountPath: /mnt/tokens}]
            """
        )
    )
    assert server.pod_patch is not None
    assert server.pod_patch.overrides == ()
    assert server.decisions == PLAIN.decisions
    assert list(map(str, server.pod_patch.changes)) == [
        "metadata.annotations.example.com/a: none → b",
        f'{IN_SERVER}.env[REGION]: none → {{"name": "REGION", "value": "eu"}}',
        f'{IN_SERVER}.volumeMounts[/mnt/tokens]: none → {{"mountPath": "/mnt/tokens", "name": "tokens"}}',
        'spec.dnsConfig: none → {"options": [{"name": "ndots", "value": "2"}]}',
        'spec.hostAliases[10.0.0.1]: none → {"hostnames": ["registry.internal"], "ip": "10.0.0.1"}',
        'spec.volumes[tokens]: none → {"name": "tokens", "projected": {"sources": [{"secret": {"name": "s"}}]}}',
    ]
    template = pod_template(server)
    assert template["spec"]["dnsConfig"] == {"options": [{"name": "ndots", "value": "2"}]}
    (container,), (plain,) = template["spec"]["containers"], TEMPLATE["spec"]["containers"]
    # Kubernetes puts new items first.
    assert container["env"] == [{"name": "REGION", "value": "eu"}, *plain["env"]]
    assert {key: value for key, value in container.items() if key not in ("env", "volumeMounts")} == {
        key: value for key, value in plain.items() if key not in ("env", "volumeMounts")
    }


@pytest.mark.parametrize(
    ("patch", "path", "what"),
    [
        (in_server("image: registry.example.com/vllm:1"), f"{IN_SERVER}.image", "changes what the plan decided"),
        (in_server("args: [--help]"), f"{IN_SERVER}.args", "changes what the plan decided"),
        (in_server("command: [sh]"), f"{IN_SERVER}.command", "changes what the plan decided"),
        (in_server("resources: {requests: {memory: 1Gi}}"), f"{IN_SERVER}.resources.requests.memory", "changes what"),
        (in_server("resources: {limits: {cpu: 1}}"), f"{IN_SERVER}.resources.limits.cpu", "adds to what the plan"),
        (in_server("livenessProbe: null"), f"{IN_SERVER}.livenessProbe", "removes what the plan decided"),
        (
            in_server("startupProbe: {failureThreshold: 1}"),
            f"{IN_SERVER}.startupProbe.failureThreshold",
            "changes what the plan decided",
        ),
        (
            in_server("lifecycle: {preStop: {sleep: {seconds: 1}}}"),
            f"{IN_SERVER}.lifecycle.preStop.sleep.seconds",
            "changes what the plan decided",
        ),
        (
            in_server("ports: [{containerPort: 8000, $patch: delete}]"),
            f"{IN_SERVER}.ports[8000]",
            "removes what the plan decided",
        ),
        (
            in_server("securityContext: {allowPrivilegeEscalation: true}"),
            f"{IN_SERVER}.securityContext.allowPrivilegeEscalation",
            "changes what the plan decided",
        ),
        (
            in_server("env: [{name: HF_HOME, value: /x}]"),
            f"{IN_SERVER}.env[HF_HOME].value",
            "changes what the plan decided",
        ),
        (in_server("env: [{name: VLLM_USE_V1, value: '0'}]"), f"{IN_SERVER}.env[VLLM_USE_V1]", "sets VLLM_USE_V1"),
        (
            in_server("volumeMounts: [{name: cache, mountPath: /proc/x}]"),
            f"{IN_SERVER}.volumeMounts[/proc/x]",
            "would hide a part of the image or the system",
        ),
        ("{spec: {terminationGracePeriodSeconds: 5}}", "spec.terminationGracePeriodSeconds", "changes what the plan"),
        ("{spec: {securityContext: {runAsUser: 1}}}", "spec.securityContext.runAsUser", "changes what the plan"),
        ("{spec: {tolerations: [{operator: Exists}]}}", "spec.tolerations", "changes what the plan decided"),
        ("{spec: {nodeSelector: {pool: other}}}", "spec.nodeSelector.pool", "adds to what the plan decided"),
        ("{spec: {affinity: {nodeAffinity: {}}}}", "spec.affinity", "adds to what the plan decided"),
        ("{spec: {schedulerName: mine}}", "spec.schedulerName", "adds to what the plan decided"),
        (
            "{spec: {volumes: [{name: cache, $retainKeys: [name, emptyDir], emptyDir: {sizeLimit: 1Gi}}]}}",
            "spec.volumes[cache].emptyDir.sizeLimit",
            "changes what the plan decided",
        ),
        ("{spec: {volumes: [{name: more, emptyDir: {}}]}}", "spec.volumes[more]", "adds to what the plan decided"),
        (
            "{spec: {initContainers: [{name: first, image: 'a:1'}]}}",
            "spec.initContainers[first]",
            "adds to what the plan decided",
        ),
        ("{metadata: {labels: {app.kubernetes.io/name: x}}}", "metadata.labels.app.kubernetes.io/name", "changes what"),
    ],
)
def test_what_the_plan_decided_is_touched_only_where_the_stack_says_so(patch: str, path: str, what: str) -> None:
    problem = only_problem(on_l4(patch))
    assert problem.path == PATCH
    assert problem.what.startswith(f"{path} {what}")
    assert f"add {path} to podPatch.overrides" in problem.fix
    server = only_server(on_l4(patch, path))
    assert server.pod_patch is not None
    (override,) = server.pod_patch.overrides
    assert override.path == path
    assert [(one.origin, one.what, one.why) for one in server.decisions[len(PLAIN.decisions) :]] == [
        ("podPatch", f"overrides {path}", override.values)
    ]


def test_an_override_is_a_warning_that_names_it() -> None:
    (warning,) = planned(on_l4("{spec: {schedulerName: mine}}", "spec.schedulerName")).warnings
    assert warning == Finding(
        path="servers.chat.podPatch.overrides",
        what="overrides what the plan decided: spec.schedulerName",
        why="memory, machine, start, speed and cost are planned for what the plan decided",
        fix="see that the figures still hold for your pods",
        severity="warning",
    )


def test_an_acknowledgment_covers_what_is_below_it_and_no_more() -> None:
    text = in_server("livenessProbe: {periodSeconds: 1}, startupProbe: {periodSeconds: 1}")
    problem = only_problem(on_l4(text, f"{IN_SERVER}.livenessProbe"))
    assert problem.what == f"{IN_SERVER}.startupProbe.periodSeconds changes what the plan decided"
    both = on_l4(text, f"{IN_SERVER}.livenessProbe", f"{IN_SERVER}.startupProbe.periodSeconds")
    assert len(only_server(both).decisions) == len(PLAIN.decisions) + 2


@pytest.mark.parametrize("path", ["spec", "spec.containers", IN_SERVER, "spec.containers[inference-server].imag"])
def test_an_acknowledgment_of_too_much_or_of_nothing_is_refused(path: str) -> None:
    found = problems_of(on_l4(in_server("image: registry.example.com/vllm:1"), path))
    assert [one.path for one in found] == ["servers.chat.podPatch.overrides[0]", PATCH]
    assert found[0].what == "acknowledges nothing that the patch changes"
    assert found[0].fix in (
        f"did you mean {IN_SERVER}.image?",
        f"use one of: {IN_SERVER}.image",
    )


@pytest.mark.parametrize(
    "patch",
    [
        in_server("$patch: delete"),
        in_server("resources: null"),
        in_server("resources: {$patch: delete}"),
        in_server("resources: {limits: null}"),
        in_server("resources: {limits: {nvidia.com/gpu: null}}"),
        in_server("resources: {limits: {nvidia.com/gpu: 0}}"),
        in_server("resources: {$patch: replace, limits: {memory: 14Gi}}"),
        in_server("resources: {$retainKeys: [requests]}"),
        "{spec: {containers: [{$patch: replace}, {name: inference-server, image: 'a:1'}]}}",
        "{spec: {containers: null}}",
        "{spec: {$patch: delete}}",
        "{spec: {initContainers: [{name: a, image: 'a:1', resources: {limits: {nvidia.com/gpu: 1}}}]}}",
    ],
)
def test_the_gpu_limit_is_never_touched(patch: str) -> None:
    everything = (f"{IN_SERVER}.resources", "spec.containers", IN_SERVER, "spec.initContainers[a]", "spec")
    for overrides in ((), everything):
        found = [one.what for one in problems_of(on_l4(patch, *overrides)) if one.path == PATCH]
        assert any("GPU limit" in what or "what gets GPUs" in what for what in found)


@pytest.mark.parametrize(
    ("patch", "what"),
    [
        ("{spec: {restartPolicy: Never}}", "spec.restartPolicy is not for a server"),
        ("{spec: {nodeName: n1}}", "spec.nodeName is not for a server"),
        ("{spec: {activeDeadlineSeconds: 5}}", "spec.activeDeadlineSeconds is not for a server"),
        (
            "{metadata: {labels: {app.kubernetes.io/instance: x}}}",
            "metadata.labels.app.kubernetes.io/instance changes a label by which the Deployment knows its pods",
        ),
        (
            "{metadata: {annotations: {llm-inference/token-version: x}}}",
            "metadata.annotations.llm-inference/token-version is the plan's own",
        ),
        ("{spec: {hostNetwork: true}}", "spec.hostNetwork gives the pod rights on its node"),
        (in_server("securityContext: {privileged: true}"), f"{IN_SERVER}.securityContext.privileged gives the pod"),
        ("{spec: {volumes: [{name: n, hostPath: {path: /x}}]}}", "spec.volumes[n] gives the pod rights on its node"),
    ],
)
def test_what_no_pod_could_have_is_refused_whatever_is_acknowledged(patch: str, what: str) -> None:
    path = what.partition(" ")[0]
    for overrides in ((), (path,)):
        (found,) = [one.what for one in problems_of(on_l4(patch, *overrides)) if one.path == PATCH]
        assert found.startswith(what)


def test_rights_on_the_node_are_for_namespaces_whose_standard_is_not_known() -> None:
    asked = {"patch": {"spec": {"hostNetwork": True}}, "overrides": ["spec.hostNetwork"]}
    raw = {**existing_stack({"chat": {**SERVER, "podPatch": asked}}), "createNamespace": False}
    assert pod_template(only_server(raw))["spec"]["hostNetwork"] is True


@pytest.mark.parametrize(
    ("patch", "path", "what", "fix"),
    [
        ("{sepc: {}}", ".sepc", "is not a known key", "did you mean spec?"),
        ("{spec: {hostAlias: []}}", ".spec.hostAlias", "is not a known key", "did you mean hostAliases?"),
        (in_server("imag: x"), ".spec.containers[0].imag", "is not a known key", "did you mean image?"),
        ("{metadata: {name: x}}", ".metadata.name", "is not a known key", "use one of: annotations, labels"),
        ("{spec: {hostAliases: {}}}", ".spec.hostAliases", "is not a list", "write a list"),
        (
            "{spec: {dnsConfig: x}}",
            ".spec.dnsConfig",
            "is not a mapping of keys to values",
            "write a mapping of keys to values",
        ),
        ("{metadata: {labels: {a: 1}}}", ".metadata.labels.a", "is not text", "write text (put it in quotes)"),
        (
            "{spec: {terminationGracePeriodSeconds: '5'}}",
            ".spec.terminationGracePeriodSeconds",
            "is not a whole number",
            "write a whole number",
        ),
        ("{spec: {hostNetwork: yes please}}", ".spec.hostNetwork", "is not true or false", "write true or false"),
        (
            in_server("resources: {limits: {cpu: much}}"),
            ".spec.containers[0].resources.limits.cpu",
            "is not a quantity such as 500m or 2Gi",
            "write a quantity such as 500m or 2Gi",
        ),
        ("{spec: {containers: [{image: x}]}}", ".spec.containers[0].name", "is missing", "add it"),
        (
            "{spec: {hostAliases: [{ip: a}, {ip: a}]}}",
            ".spec.hostAliases[1].ip",
            "is that of item 0 too",
            "merge the two",
        ),
        ("{$patch: replace}", ".$patch", "is for the whole template", "patch the fields that have to change"),
        ("{spec: {$patch: remove}}", ".spec.$patch", "is not a known choice", "use one of: delete, replace"),
        ("{spec: {$ptch: delete}}", ".spec.$ptch", "is not a directive", "did you mean $patch?"),
        (
            "{spec: {$setElementOrder/containers: []}}",
            ".spec.$setElementOrder/containers",
            "is not for a patch that is written by hand",
            "remove it",
        ),
        (
            in_server("$patch: delete, image: x"),
            ".spec.containers[0].image",
            "stands beside $patch: delete",
            "remove it",
        ),
        (
            "{spec: {containers: [{$patch: replace, name: a}]}}",
            ".spec.containers[0].name",
            "stands beside $patch: replace",
            "give it an item of its own",
        ),
        (
            "{spec: {volumes: [{name: a, $retainKeys: [name], emptyDir: {}}]}}",
            ".spec.volumes[0].$retainKeys",
            "does not list emptyDir",
            "add emptyDir",
        ),
        (
            "{spec: {tolerations: [{$patch: delete, key: a}]}}",
            ".spec.tolerations[0].$patch",
            "has nothing to act on",
            "remove it",
        ),
        (
            "{spec: {tolerations: [{key: null}]}}",
            ".spec.tolerations[0].key",
            "is null, but there is nothing to remove",
            "remove the line",
        ),
        ("{spec: {hostAliases: null}}", ".spec.hostAliases", "does nothing", "correct its name, or remove it"),
        (
            "{spec: {volumes: [{name: cach, $patch: delete}]}}",
            ".spec.volumes[0]",
            "does nothing",
            "correct its name, or remove it",
        ),
        ("{}", "", "is empty", "remove podPatch"),
        ("{spec: {automountServiceAccountToken: false}}", "", "changes nothing", "remove podPatch"),
        (
            "{spec: {volumes: [{name: v, projected: {sources: [{configMap: {items: [{key: a}]}}]}}]}}",
            "",
            "leaves spec.volumes[v].projected.sources[0].configMap.items[0] without path",
            "add path",
        ),
        (
            "{spec: {initContainers: [{name: a, image: b}]}}",
            "",
            "spec.initContainers[a].image does not pin a version",
            "add a version tag or a digest",
        ),
        (in_server("image: null"), "", f"leaves {IN_SERVER} without image", "add image"),
        (
            "{spec: {containers: [{name: inference-sever, image: 'a:1'}]}}",
            "",
            "spec.containers[inference-sever] adds to what the plan decided",
            "did you mean inference-server?",
        ),
    ],
)
def test_a_patch_that_is_none_is_refused_with_the_nearest_name(patch: str, path: str, what: str, fix: str) -> None:
    found = {(one.path, one.what): one.fix for one in problems_of(on_l4(patch))}
    assert found[f"{PATCH}{path}", what] == fix


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        (in_server("env: [{name: S3_SECRET_ACCESS_KEY, value: wJalrXUtnFEMI}]"), ".spec.containers[0].env[0].value"),
        (in_server("args: [--api-key=abcdef123456]"), ".spec.containers[0].args[0]"),
        (in_server("args: [--api-key, abcdef123456]"), ".spec.containers[0].args[1]"),
        (
            in_server("livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: Api-Key, value: abcdef123456}]}}"),
            ".spec.containers[0].livenessProbe.httpGet.httpHeaders[0].value",
        ),
        ("{metadata: {annotations: {password: hunter2hunter2}}}", ".metadata.annotations.password"),
    ],
)
def test_a_secret_that_only_its_name_tells_is_refused(patch: str, path: str) -> None:
    (found,) = [one for one in problems_of(on_l4(patch)) if one.what == "holds a secret"]
    assert found.path == f"{PATCH}{path}"
    assert "abcdef" not in str(Refusal([found]))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a patch has text."""
    if isinstance(value, dict):
        return [place for key, item in value.items() for place in _places(item, (*path, key))]
    if isinstance(value, list):
        return [place for index, item in enumerate(value) for place in _places(item, (*path, index))]
    return [path] if isinstance(value, str) else []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_secret_of_a_patch_leaves_it(data: st.DataObject) -> None:
    patch = json.loads(json.dumps(data.draw(patches)))
    assume(_places(patch))
    place = data.draw(st.sampled_from(_places(patch)))
    around: Any = patch
    for key in place[:-1]:
        around = around[key]
    around[place[-1]] = data.draw(st.sampled_from([TOKEN, f"x {TOKEN}", "sk-proj-" + "Ab3dEf6h" * 4]))
    outcome = outcome_of(on_l4(patch))
    assert isinstance(outcome, Refusal)
    assert TOKEN not in str(outcome)
    assert "Ab3dEf6h" not in str(outcome)
    # What is shown masks what got through all the same.
    shown = str(PodChange(path="spec", before=None, after=patch))
    assert TOKEN not in shown
    assert "Ab3dEf6h" not in shown


@settings(deadline=None)
@given(patches)
def test_differences_are_all_that_a_patch_changes(patch: Raw) -> None:
    assert list(shape_findings("patch", patch, FIELDS)) == []
    result = strategic_merge(TEMPLATE, patch, FIELDS)
    found = list(differences(TEMPLATE, result.template, FIELDS))
    assert found == sorted(found, key=lambda one: one.steps)
    # A second time changes nothing, where there is nothing to remove.
    if "$" not in json.dumps(patch) and "null" not in json.dumps(patch):
        assert strategic_merge(result.template, patch, FIELDS).template == result.template


@settings(deadline=None)
@given(patches)
def test_a_patch_is_planned_or_refused_and_never_takes_the_gpu(patch: Raw) -> None:
    outcome = outcome_of(on_l4(patch))
    if isinstance(outcome, Refusal):
        return
    (server,) = outcome.servers
    (container,) = [one for one in pod_template(server)["spec"]["containers"] if one["name"] == "inference-server"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"] == PLAIN.image
    assert container["args"] == list(PLAIN.all_arguments)


def _removals(value: Raw) -> Iterator[Raw]:
    """Patches that each take one part of a template away."""
    for key, item in value.items():
        yield {key: None}
        if isinstance(item, dict):
            yield from ({key: one} for one in _removals(item))
        elif key == "containers":
            (server,) = ({field: part for field, part in one.items() if field != "name"} for one in item)
            yield from ({key: [{"name": "inference-server", **one}]} for one in _removals(server))


def test_whatever_is_taken_away_from_a_pod_is_refused_or_acknowledged() -> None:
    removals = list(_removals(TEMPLATE))
    assert {"spec": None} in removals
    assert {"metadata": None} in removals
    assert len(removals) > 60
    for patch in removals:
        assert problems_of(on_l4(patch)), patch


def test_images_of_a_patch_are_those_of_the_server() -> None:
    patch = "{spec: {initContainers: [{name: first, image: 'a:1'}]}}"
    server = only_server(on_l4(patch, "spec.initContainers[first]"))
    assert server.images == (PLAIN.image, "a:1")


def test_a_patch_of_the_base_file_is_replaced_as_a_whole_and_its_nulls_are_kept() -> None:
    base = {"servers": {"chat": {**SERVER, "podPatch": {"patch": {"spec": {"dnsPolicy": "Default"}}}}}}
    own = {"servers": {"chat": {"podPatch": {"patch": {"spec": {"securityContext": {"fsGroup": None}}}}}}}
    result = merged(base, "base.yaml", own, "Pulumi.dev.yaml")
    assert result.problems == ()
    assert result.values["servers"]["chat"]["podPatch"] == own["servers"]["chat"]["podPatch"]
    alone = merged({}, "base.yaml", {"servers": {"chat": {**SERVER, **own["servers"]["chat"]}}}, "Pulumi.dev.yaml")
    assert alone.problems == ()
    assert alone.values["servers"]["chat"]["podPatch"] == own["servers"]["chat"]["podPatch"]


def test_tgi_is_patched_alike() -> None:
    raw = standard_stack({"l4": {"maxNodes": 2}}, {"chat": {**TGI, "podPatch": {"patch": {"spec": {"hostname": "a"}}}}})
    assert pod_template(only_server(raw))["spec"]["hostname"] == "a"


def test_settings_are_frozen_plain_data() -> None:
    patch = parse_settings(on_l4("{spec: {dnsPolicy: Default}}")).servers["chat"].pod_patch
    assert patch is not None
    assert patch.patch == {"spec": {"dnsPolicy": "Default"}}


@pytest.mark.parametrize(("look", "arrow"), [(Look(), "→"), (Look(ascii_only=True), "->")])
def test_the_plan_shows_each_path_in_80_columns_and_as_json(look: Look, arrow: str) -> None:
    command = ["sh", "-c", "echo a very long command line that goes on and on for more than eighty columns"]
    patch = {
        "spec": {
            "schedulerName": "mine",
            "hostAliases": [{"ip": "10.0.0.9", "hostnames": [f"registry-{index}.acme.internal" for index in range(5)]}],
            "containers": [{"name": "inference-server", "lifecycle": {"postStart": {"exec": {"command": command}}}}],
        }
    }
    plan = planned(on_l4(patch, "spec.schedulerName", f"{IN_SERVER}.lifecycle"))
    text = stack_text(plan, load_catalog(), look=look)
    assert max(map(len, text.splitlines())) <= 80
    assert f"podPatch: overrides spec.schedulerName (none {arrow} mine)" in text
    assert f"  podPatch   spec.hostAliases[10.0.0.9]: none {arrow}" in text
    changes = stack_document(plan, load_catalog())["servers"]["chat"]["podPatch"]
    assert [(one["path"], one["overrides"]) for one in changes] == [
        (f"{IN_SERVER}.lifecycle.postStart", True),
        ("spec.hostAliases[10.0.0.9]", False),
        ("spec.schedulerName", True),
    ]
    assert changes[2] == {"path": "spec.schedulerName", "before": None, "after": "mine", "overrides": True}
