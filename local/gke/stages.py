"""What KWOK does with nodes and pods: stages that play the kubelet, in simulated time. Pure.

A pod of a server carries its times in an annotation, which an admission policy of this cluster adds: seconds until its
container runs, seconds until it answers, and whether it answers before its startup probe gives up. Every other pod
answers at once, and one of a Job is done a while later, with success.
"""

from typing import Any

START_ANNOTATION = "local-gke/start"
READY, CRASH = "ready", "crash"

_CONDITION = '.status.conditions.[] | select( .type == "{}" ) | .status'
# The kubelet doubles this up to five minutes; here it stays, as restarts show as well.
_BACK_OFF_SECONDS = 10.0
# What the server takes to end after SIGTERM, while no request runs.
EXIT_SECONDS = 2.0
# What a pod of a Job works.
_JOB_SECONDS = 60.0
_MILLISECONDS = 1000


def stages(speed: float) -> list[dict[str, Any]]:
    """The stages of nodes and pods, `speed` seconds of simulated time in one second."""
    word = f'(.metadata.annotations["{START_ANNOTATION}"] // "0 0 {READY}" | split(" "))'

    def scaled(seconds: str) -> dict[str, Any]:
        """A delay of as many simulated seconds as a jq expression says."""
        return {"durationFrom": {"expressionFrom": f'({seconds} * {_MILLISECONDS / speed} | floor | tostring) + "ms"'}}

    drain = "([.spec.containers[].lifecycle.preStop.sleep.seconds // 0] | max)"
    grace = "(.metadata.deletionGracePeriodSeconds // 0)"
    alive = _is(".metadata.deletionTimestamp", "DoesNotExist")
    outcome = f"{word}[2]"
    started = ".status.containerStatuses.[].state.running.startedAt"
    starting = [
        alive,
        _is(".status.phase", "In", "Running"),
        _is(_CONDITION.format("Ready"), "NotIn", "True"),
        _is(started, "Exists"),
    ]
    return [
        _node_initialize(),
        _node_heartbeat(),
        _pod("pod-create", [alive, _is(".status.podIP", "DoesNotExist")], None, _CREATED, ("Pulling", "Pulling image")),
        _pod(
            "pod-start",
            [
                alive,
                _is(".status.podIP", "Exists"),
                _is(".status.phase", "In", "Pending"),
            ],
            scaled(f"({word}[0] | tonumber)"),
            _STARTED,
            ("Started", "Started container"),
        ),
        _pod(
            "pod-ready",
            [*starting, _is(outcome, "In", READY)],
            scaled(f"({word}[1] | tonumber)"),
            _READY,
            None,
        ),
        _pod(
            "pod-crash",
            [*starting, _is(outcome, "In", CRASH)],
            scaled(f"({word}[1] | tonumber)"),
            _CRASHED,
            ("Unhealthy", "Startup probe failed: the server does not answer; restarting the container"),
            warning=True,
        ),
        _pod(
            "pod-restart",
            [alive, _is(".status.phase", "In", "Running"), _is(".status.containerStatuses.[].state.waiting", "Exists")],
            scaled(str(_BACK_OFF_SECONDS)),
            _RESTARTED,
            ("Started", "Started container"),
        ),
        _pod(
            "pod-complete",
            [
                alive,
                _is(".status.phase", "In", "Running"),
                _is(_CONDITION.format("Ready"), "In", "True"),
                _is(".metadata.ownerReferences.[].kind", "In", "Job"),
            ],
            scaled(str(_JOB_SECONDS)),
            _COMPLETED,
            None,
        ),
        # preStop first, then the server ends; the grace period is the limit of both.
        _pod_delete(scaled(f"([{grace}, {drain} + {EXIT_SECONDS}] | min)")),
    ]


def _is(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _stage(name: str, kind: str, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": conditions},
        },
    }


def _pod_delete(delay: dict[str, Any]) -> dict[str, Any]:
    stage = _stage("pod-delete", "Pod", [_is(".metadata.deletionTimestamp", "Exists")])
    stage["spec"] |= {"delay": delay, "next": {"delete": True}}
    return stage


def _pod(
    name: str,
    conditions: list[dict[str, Any]],
    delay: dict[str, Any] | None,
    status: str,
    event: tuple[str, str] | None,
    *,
    warning: bool = False,
) -> dict[str, Any]:
    stage = _stage(name, "Pod", conditions)
    after: dict[str, Any] = {"statusTemplate": status}
    if event:
        after["event"] = {"type": "Warning" if warning else "Normal", "reason": event[0], "message": event[1]}
    stage["spec"] |= {**({"delay": delay} if delay else {}), "next": after}
    return stage


_CONDITIONS = """conditions:
- {{type: Initialized, status: "True", lastTransitionTime: {{{{ Now | Quote }}}}}}
- {{type: PodReadyToStartContainers, status: "True", lastTransitionTime: {{{{ Now | Quote }}}}}}
- {{type: ContainersReady, status: "{ready}", lastTransitionTime: {{{{ Now | Quote }}}}}}
- {{type: Ready, status: "{ready}", lastTransitionTime: {{{{ Now | Quote }}}}}}
"""
_NOT_READY = _CONDITIONS.format(ready="False")

_CREATED = (
    """phase: Pending
startTime: {{ Now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
"""
    + _NOT_READY
    + """{{ $ip := PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) """
    + """( or .metadata.name "" ) ( or .metadata.namespace "" ) }}
podIP: {{ $ip | Quote }}
podIPs:
- ip: {{ $ip | Quote }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state: {waiting: {reason: ContainerCreating}}
{{ end }}
"""
)

_STARTED = (
    "phase: Running\n"
    + _NOT_READY
    + """containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: false
  started: false
  restartCount: 0
  state: {running: {startedAt: {{ Now | Quote }}}}
{{ end }}
"""
)

_RESTARTED = (
    "phase: Running\n"
    + _NOT_READY
    + """containerStatuses:
{{ range .status.containerStatuses }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: false
  started: false
  restartCount: {{ .restartCount }}
  state: {running: {startedAt: {{ Now | Quote }}}}
  lastState: {terminated: {exitCode: 137, reason: Error, finishedAt: {{ Now | Quote }}}}
{{ end }}
"""
)

_READY = (
    "phase: Running\n"
    + _CONDITIONS.format(ready="True")
    + """{{ range .spec.readinessGates }}
- {type: {{ .conditionType | Quote }}, status: "True", lastTransitionTime: {{ Now | Quote }}}
{{ end }}
containerStatuses:
{{ range .status.containerStatuses }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: true
  started: true
  restartCount: {{ .restartCount }}
  state: {running: {startedAt: {{ .state.running.startedAt | Quote }}}}
{{ end }}
"""
)

_CRASHED = (
    "phase: Running\n"
    + _NOT_READY
    + """containerStatuses:
{{ range .status.containerStatuses }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: false
  started: false
  restartCount: {{ add .restartCount 1 }}
  state: {waiting: {reason: CrashLoopBackOff, message: the startup probe failed}}
  lastState: {terminated: {exitCode: 137, reason: Error, finishedAt: {{ Now | Quote }}}}
{{ end }}
"""
)

_COMPLETED = (
    "phase: Succeeded\n"
    + _NOT_READY
    + """containerStatuses:
{{ range .status.containerStatuses }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: false
  started: false
  restartCount: {{ .restartCount }}
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ .state.running.startedAt | Quote }}
      finishedAt: {{ Now | Quote }}
{{ end }}
"""
)

_NODE_CONDITIONS = """conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ Now | Quote }}
  lastTransitionTime: {{ or $.metadata.creationTimestamp Now | Quote }}
{{ end }}
"""


def _node_initialize() -> dict[str, Any]:
    stage = _stage("node-initialize", "Node", [_is(_CONDITION.format("Ready"), "NotIn", "True")])
    stage["spec"]["next"] = {
        "statusTemplate": "phase: Running\n"
        + _NODE_CONDITIONS
        + """addresses:
- {type: InternalIP, address: {{ NodeIP | Quote }}}
- {type: Hostname, address: {{ .metadata.name | Quote }}}
nodeInfo:
  architecture: amd64
  bootID: ""
  containerRuntimeVersion: containerd://simulated
  kernelVersion: simulated
  kubeProxyVersion: ""
  kubeletVersion: simulated
  machineID: ""
  operatingSystem: linux
  osImage: Container-Optimized OS from Google (simulated)
  systemUUID: ""
"""
    }
    return stage


def _node_heartbeat() -> dict[str, Any]:
    # Leases are the heartbeat; the conditions only have to be renewed now and then.
    stage = _stage("node-heartbeat", "Node", [_is(_CONDITION.format("Ready"), "In", "True")])
    stage["spec"] |= {"delay": {"durationMilliseconds": 300_000}, "next": {"statusTemplate": _NODE_CONDITIONS}}
    return stage
