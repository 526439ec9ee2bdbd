"""Patches of pod templates for tests: drawn at random, of every kind of list, map and directive."""

from typing import Any

from hypothesis import strategies as st

Raw = dict[str, Any]
NAMES = ("A", "B", "HF_HOME", "NEW_ONE", "NEW_TWO")
DELETE: Raw = {"$patch": "delete"}


def items(key: str, names: tuple[Any, ...], values: st.SearchStrategy[Raw]) -> st.SearchStrategy[list[Raw]]:
    """A list that merges by a key: items in any order, some of them removed, or the whole list replaced."""
    one = st.one_of(values, values, st.just(DELETE))
    listed = st.lists(st.tuples(st.sampled_from(names), one), max_size=4, unique_by=lambda item: item[0]).map(
        lambda found: [{key: name, **value} for name, value in found]
    )
    replaced = listed.map(lambda found: [{"$patch": "replace"}, *(one for one in found if "$patch" not in one)])
    return st.one_of(listed, listed, replaced)


def fields(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[Raw]:
    """Some of these fields."""
    return st.fixed_dictionaries({}, optional=values)


_text = st.sampled_from(["a", "b", "c"])
_texts = st.dictionaries(st.sampled_from(["example.com/team", "x", "y"]), st.one_of(_text, st.none()), max_size=3)
_values = st.one_of(
    _text.map(lambda text: {"value": text, "valueFrom": None}),
    _text.map(
        lambda text: {"value": None, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{text}']"}}}
    ),
)
_probes = st.one_of(
    st.none(),
    fields(periodSeconds=st.integers(1, 9), failureThreshold=st.one_of(st.none(), st.integers(1, 9))),
    st.just({"$patch": "replace", "tcpSocket": {"port": 8000}}),
    st.just({"$retainKeys": ["httpGet", "periodSeconds"], "periodSeconds": 7}),
)
_containers = fields(
    args=st.one_of(st.none(), st.lists(_text, max_size=3)),
    env=items("name", NAMES, _values),
    envFrom=st.one_of(st.none(), st.just([{"prefix": "Z_", "secretRef": {"name": "z"}}])),
    ports=items("containerPort", (8000, 9000), fields(name=st.just("metrics"))),
    livenessProbe=_probes,
    lifecycle=st.one_of(st.none(), st.just({"postStart": {"exec": {"command": ["true"]}}})),
    securityContext=st.one_of(
        st.just(DELETE), fields(capabilities=st.just({"drop": ["NET_RAW"]}), privileged=st.none())
    ),
    resources=st.fixed_dictionaries({"limits": st.dictionaries(st.just("cpu"), st.sampled_from(["4", 5]))}),
    volumeMounts=items("mountPath", ("/dev/shm", "/mnt/templates", "/mnt/new"), st.just({"name": "cache"})),
)
_volumes = st.one_of(
    st.just({"$retainKeys": ["name", "emptyDir"], "emptyDir": {}}),
    st.just({"$retainKeys": ["name", "configMap"], "configMap": {"name": "other", "optional": True}}),
    st.just({"configMap": {"name": "third"}}),
)
_specs = fields(
    containers=items("name", ("inference-server", "other"), _containers.map(lambda one: {"image": "i:1", **one})),
    initContainers=items("name", ("fetch", "telemetry", "new"), _containers.map(lambda one: {"image": "i:2", **one})),
    volumes=items("name", ("cache", "templates", "new", "shared-memory"), _volumes),
    tolerations=st.one_of(st.none(), st.lists(st.just({"operator": "Exists"}), max_size=1)),
    nodeSelector=_texts,
    hostAliases=items("ip", ("10.0.0.1", "10.0.0.2"), st.just({"hostnames": ["a"]})),
    imagePullSecrets=items("name", ("registry", "second"), st.just({})),
    topologySpreadConstraints=items(
        "topologyKey",
        ("topology.kubernetes.io/zone", "kubernetes.io/hostname", "rack"),
        fields(maxSkew=st.integers(1, 3), matchLabelKeys=st.none(), minDomains=st.none()),
    ),
    dnsConfig=st.one_of(st.none(), st.just({"options": [{"name": "ndots", "value": "2"}]})),
    securityContext=fields(fsGroup=st.one_of(st.none(), st.just(7)), seccompProfile=st.none()),
    terminationGracePeriodSeconds=st.one_of(st.none(), st.integers(1, 99)),
)
patches = fields(metadata=fields(annotations=_texts, labels=_texts), spec=_specs)
"""Patches of a template that has all there is; Kubernetes takes many of them, and rejects some."""
