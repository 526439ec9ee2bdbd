"""Who reaches a server and what is let through: decisions, refusals, and no way to the internet without a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gke_llm_inference.cli.access_report import access_lines
from gke_llm_inference.planning import AllowedRoute, GatewayPlan, ServerPlan, StackPlan
from gke_llm_inference.planning.access.api_keys import secret_content
from gke_llm_inference.planning.access.exposed import guarded_paths
from gke_llm_inference.planning.pod.template import pod_template
from tests.planning.combinations import WATCHED
from tests.planning.support import CATALOG, UNFIT, existing_stack, only_problem, outcome_of, planned, problems_of
from tests.settings.support import PROPERTY

if TYPE_CHECKING:
    from gke_llm_inference.planning.access.plan import ApiKeyPlan, ServerAccess
    from tests.settings.support import Raw

VLLM = {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", **UNFIT}
TGI = {"server": "tgi", "model": "Qwen/Qwen2.5-7B-Instruct", **UNFIT}
TLS = {"source": "secret", "secretName": "tls"}
KEYS = {"source": "existingSecret", "secretName": "keys"}
EXTERNAL = {"exposure": "external", "hostname": "llm.example.com", "apiKeys": KEYS}
INTERNAL = {"exposure": "internal", "hostname": "llm.example.com"}
CHAT = AllowedRoute(path="/v1/chat/completions", method="POST")
COMPLETIONS = AllowedRoute(path="/v1/completions", method="POST")
MODELS = AllowedRoute(path="/v1/models", method="GET")
RESPONSES = AllowedRoute(path="/v1/responses", method="POST")


def stack(servers: Raw, **gateway: Any) -> Raw:
    return {
        "cluster": {"mode": "autopilot", "location": "us-central1"},
        "gateway": {"tls": TLS, **gateway},
        "servers": servers,
    }


def one(server: Raw, **gateway: Any) -> Raw:
    return stack({"chat": server}, **gateway)


def warnings_of(raw: Raw) -> list[tuple[str, str]]:
    return [(warning.path, warning.what) for warning in planned(raw).warnings if "access" not in warning.path]


def test_nothing_is_reached_from_outside_unless_it_is_asked_for() -> None:
    plan = planned({**stack({"chat": VLLM}), "gateway": {}})
    assert (plan.access.gateways, plan.access.servers, plan.access.proxy_cidr) == ((), (), None)


def test_the_class_follows_from_the_exposure_and_one_gateway_serves_all_of_its_servers() -> None:
    servers = {
        "a": {**VLLM, **EXTERNAL, "hostname": "a.example.com"},
        "b": {**VLLM, **EXTERNAL, "hostname": "b.example.com"},
        "c": {**VLLM, **INTERNAL, "hostname": "c.example.com"},
        "d": VLLM,
    }
    access = planned(stack(servers)).access
    assert access.gateways == (
        GatewayPlan(
            exposure="external",
            name="llm-external",
            class_name="gke-l7-regional-external-managed",
            port=443,
            certificates=(),
            certificate_secret="tls",
            address="gke-llm-inference-test-external",
            reserves_address=True,
            hostnames=("a.example.com", "b.example.com"),
        ),
        GatewayPlan(
            exposure="internal",
            name="llm-internal",
            class_name="gke-l7-rilb",
            port=443,
            certificates=(),
            certificate_secret="tls",
            address=None,
            reserves_address=False,
            hostnames=("c.example.com",),
        ),
    )
    assert [(one.server, one.exposure) for one in access.servers] == [
        ("a", "external"),
        ("b", "external"),
        ("c", "internal"),
    ]
    assert (access.proxy_cidr, access.makes_proxy_subnet) == ("10.21.0.0/23", True)
    assert access.of("d") is None


def test_a_server_without_an_exposure_of_its_own_has_the_gateways() -> None:
    plan = planned(one({**VLLM, "apiKeys": KEYS}, exposure="external", hostname="llm.example.com"))
    (server,) = plan.access.servers
    assert (server.exposure, server.hostname, plan.access.url_of(server)) == (
        "external",
        "llm.example.com",
        "https://llm.example.com/v1",
    )
    kept_in = {**VLLM, "exposure": "none"}
    assert (
        planned(stack({"chat": VLLM, "other": kept_in}, exposure="internal", hostname="x.y")).access.of("other") is None
    )


@pytest.mark.parametrize(
    ("server", "version", "exposure", "keys", "expected"),
    [
        ("vllm", "0.33.0", "external", KEYS, {CHAT, COMPLETIONS, MODELS, RESPONSES}),
        ("vllm", "0.6.0", "internal", KEYS, {CHAT, COMPLETIONS, MODELS}),
        ("tgi", "3.3.7", "internal", {"source": "none"}, {CHAT, COMPLETIONS, MODELS}),
        ("tgi", "3.3.7", "internal", KEYS, {CHAT, COMPLETIONS}),
        ("tgi", "3.3.7", "external", KEYS, {CHAT, COMPLETIONS}),
    ],
)
def test_what_is_let_through_follows_from_server_version_exposure_and_keys(
    server: str, version: str, exposure: str, keys: dict[str, str], expected: set[AllowedRoute]
) -> None:
    asked = {"server": server, "version": version, "exposure": exposure, "apiKeys": keys, "maxModelLen": 4096}
    settings_ = {**VLLM, **EXTERNAL, **asked}
    (reached,) = planned(one(settings_)).access.servers
    assert reached.routes == tuple(sorted(expected))


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({**VLLM, "version": "0.33.0"}, {"api_key": "old", "api-keys.yaml": '{"api-key": ["new", "old"]}'}),
        ({**VLLM, "version": "0.29.0"}, None),
        (TGI, None),
    ],
)
def test_a_secret_holds_what_templates_with_one_key_and_with_two_read(
    server: Raw, expected: dict[str, str] | None
) -> None:
    def keys(*names: str) -> tuple[ApiKeyPlan, dict[str, str]]:
        raw = one({**server, **INTERNAL, "apiKeys": {"source": "config", "keys": ["apiKey", "apiKey2"][: len(names)]}})
        plan = planned(raw).servers[0].api_keys
        assert plan is not None
        return plan, secret_content(plan, names)

    before, first = keys("old")
    after, last = keys("new")
    assert (before.secret_key, after.secret_key, last["api_key"]) == ("api_key", "api_key", "new")
    if expected is None:
        assert (first, last) == ({"api_key": "old"}, {"api_key": "new"})
        return
    both, content = keys("new", "old")
    assert content == expected
    # What the pods before and after read is there as well, with the keys that they take.
    assert content[before.secret_key] == first[before.secret_key] == "old"
    assert last[both.secret_key] == '{"api-key": ["new"]}'


def test_routes_of_ones_own_are_added_once() -> None:
    routes = [{"path": "/generate"}, {"path": "/v1/models", "method": "GET"}, {"path": "/v1/completions"}]
    (reached,) = planned(one({**TGI, **INTERNAL, "routes": routes})).access.servers
    assert reached.routes == (AllowedRoute(path="/generate", method="POST"), CHAT, COMPLETIONS, MODELS)


def test_the_load_balancer_waits_for_the_longest_answer() -> None:
    short, long = (
        planned(one({**VLLM, **INTERNAL, "maxModelLen": tokens})).access.servers[0] for tokens in (1024, 16384)
    )
    assert short.timeout_seconds > short.draining_seconds > 0
    assert long.timeout_seconds > short.timeout_seconds
    assert all(server.draining_seconds <= 3600 for server in (short, long))


def test_the_plan_promises_no_answer_more_time_than_its_pod_has() -> None:
    plan = planned(one({**VLLM, **INTERNAL, "maxModelLen": 16384}))
    (server,), (reached,) = plan.servers, plan.access.servers
    assert reached.draining_seconds > server.shutdown.answer_seconds
    lines = list(access_lines(server, plan.access))
    cut = f"cut after {reached.timeout_seconds} s; {server.shutdown.answer_seconds} s to end when a pod leaves"
    assert f"  answers    {cut}" in lines


REFUSED: list[tuple[Raw, str, str, str]] = [
    (
        one({**VLLM, **INTERNAL, "routes": [{"path": "/a"}, {"path": "/a", "method": "GET"}, {"path": "/a"}]}),
        "servers.chat.routes[2]",
        "is the same as routes[0]",
        "remove one of them, or correct it",
    ),
    (
        one({**VLLM, **EXTERNAL, "hostname": None}),
        "servers.chat.hostname",
        "is missing, while the server's exposure is external",
        "set hostname to the name that clients will use, here or under gateway",
    ),
    (
        one({**VLLM, **EXTERNAL}, tls=None),
        "gateway.tls",
        "is missing, while servers are on the internet",
        "set gateway.tls to a certificate of Certificate Manager or of a Secret",
    ),
    (
        one({**VLLM, **EXTERNAL, "apiKeys": {"source": "none"}}),
        "servers.chat.apiKeys",
        "is missing, while the server is on the internet",
        "set apiKeys, or use exposure: internal",
    ),
    (
        one({**VLLM, **EXTERNAL, "version": "0.19.1"}),
        "servers.chat.version",
        "vLLM 0.19.1 has holes that strangers can use: CVE-2026-48746, CVE-2026-55574",
        "use 0.24.0 or later, or exposure: internal",
    ),
    (
        one({**TGI, **EXTERNAL, "version": "2.3.1"}),
        "servers.chat.version",
        "Text Generation Inference 2.3.1 has holes that strangers can use: CVE-2026-0599",
        "use 3.3.7 or later, or exposure: internal",
    ),
    (
        one({**VLLM, **EXTERNAL, "routes": [{"path": "/invocations"}]}),
        "servers.chat.routes[0]",
        "vLLM 0.26.0 answers POST /invocations without an API key",
        "remove the route, or use exposure: internal",
    ),
    (
        one({**TGI, **EXTERNAL, "routes": [{"path": "/", "method": "GET"}]}),
        "servers.chat.routes[0]",
        "Text Generation Inference 3.3.7 answers GET / without an API key",
        "remove the route, or use exposure: internal",
    ),
    (
        stack({"one": {**VLLM, **EXTERNAL}, "other": {**VLLM, **EXTERNAL}}),
        "servers.other.hostname",
        "llm.example.com is the hostname of servers.one too, and both answer POST /v1/chat/completions",
        "give each of them a hostname of its own",
    ),
    (
        one(
            {**VLLM, **EXTERNAL},
            tls={
                "source": "certificateManager",
                "certificates": ["projects/my-project/locations/global/certificateMaps/m"],
            },
        ),
        "gateway.tls.certificates[0]",
        "is a certificate map",
        "name regional certificates themselves",
    ),
    (
        one(
            {**VLLM, **EXTERNAL},
            tls={
                "source": "certificateManager",
                "certificates": ["projects/my-project/locations/global/certificates/c"],
            },
        ),
        "gateway.tls.certificates[0]",
        "is a certificate of global, and the load balancer is in us-central1",
        "make a certificate with the location us-central1",
    ),
    (
        one(
            {**VLLM, **EXTERNAL},
            tls={
                "source": "certificateManager",
                "certificates": ["projects/other/locations/us-central1/certificates/c"],
            },
        ),
        "gateway.tls.certificates[0]",
        "is a certificate of the project other, and the load balancer is in my-project",
        "make the certificate in my-project",
    ),
    (
        one({**VLLM, **INTERNAL}, proxySubnet={"mode": "create", "cidr": "10.0.1.0/24"}),
        "gateway.proxySubnet.cidr",
        "10.0.1.0/24 overlaps cluster.network.nodesCidr 10.0.0.0/20",
        "move it to a free range",
    ),
    (
        one({**VLLM, **INTERNAL}, proxySubnet={"mode": "existing", "cidr": "10.99.0.0/27"}),
        "gateway.proxySubnet.cidr",
        "10.99.0.0/27 is too small",
        "use a range of /26 or wider, such as /23",
    ),
    (
        {**existing_stack({"chat": {**VLLM, **INTERNAL}}), "gateway": {}},
        "gateway.proxySubnet",
        "is to be made, in the network of a cluster that exists already",
        "set mode: existing and its cidr; docs/access.md shows how to make one",
    ),
    (
        one({**VLLM, **INTERNAL}, rateLimit={"requests": 60}),
        "gateway.rateLimit",
        "has no server on the internet to hold for",
        "remove it",
    ),
    (
        one({**TGI, "apiKeys": {"source": "config", "keys": ["apiKey2", "apiKey"]}}, tls=None),
        "servers.chat.apiKeys.keys",
        "Text Generation Inference takes one key only",
        "give one key; while it changes, clients try the other one after a 401 (docs/access.md)",
    ),
    (
        one({**VLLM, "version": "0.26.0", "apiKeys": {**KEYS, "content": "vllmConfiguration"}}, tls=None),
        "servers.chat.apiKeys.content",
        "vLLM 0.26.0 would write its keys to the log",
        "use version 0.30.0 or later; or give one key, and let clients try the other one after a 401",
    ),
    (
        one({**VLLM, "version": "0.33.0", "apiKeys": {"source": "config", "keys": ["apiKey", "apiKey"]}}, tls=None),
        "servers.chat.apiKeys.keys",
        "names apiKey twice",
        "name each config value once",
    ),
    (
        one({**TGI, "apiKeys": KEYS, "extraEnv": {"LOG_LEVEL": "info"}}, tls=None),
        "servers.chat.extraEnv.LOG_LEVEL",
        "is decided by apiKeys",
        "remove it",
    ),
    (
        one({**VLLM, "apiKeys": KEYS, "extraArgs": ["--root-path=/v1"]}, tls=None),
        "servers.chat.extraArgs[0]",
        "--root-path does not go with apiKeys",
        "remove it; the load balancer passes paths on as they are",
    ),
    (
        {
            **one({**VLLM, "apiKeys": {"source": "config"}}, tls=None),
            "huggingFace": {"tokenSource": "existingSecret", "secretName": "chat-api-keys"},
        },
        "servers.chat.apiKeys",
        "gets a Secret with the name that huggingFace.secretName has: chat-api-keys",
        "rename one of them",
    ),
]


@pytest.mark.parametrize(
    ("raw", "path", "what", "fix"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_cannot_work_or_is_open_is_refused(raw: Raw, path: str, what: str, fix: str) -> None:
    problem = only_problem(raw)
    assert (problem.path, problem.what, problem.fix) == (path, what, fix)
    assert problem.why


def test_everything_that_is_open_is_told_at_once() -> None:
    server = {**VLLM, "version": "0.10.0", "exposure": "external", "routes": [{"path": "/tokenize"}]}
    assert [problem.path for problem in problems_of({**one(server), "gateway": {}})] == [
        "gateway.tls",
        "servers.chat.apiKeys",
        "servers.chat.hostname",
        "servers.chat.routes[0]",
        "servers.chat.version",
    ]


@pytest.mark.parametrize(
    ("raw", "path", "what"),
    [
        (one(VLLM), "gateway", "has no server behind it"),
        (one({**VLLM, "hostname": "a.b"}, tls=None), "servers.chat.hostname", "has no effect"),
        (
            one({**VLLM, **INTERNAL, "apiKeys": KEYS}, tls=None),
            "gateway.tls",
            "is missing, while servers have API keys",
        ),
        (
            one({**VLLM, **INTERNAL, "apiKeys": KEYS, "routes": [{"path": "/tokenize"}]}),
            "servers.chat.routes[0]",
            "vLLM 0.26.0 answers POST /tokenize without an API key",
        ),
    ],
)
def test_what_is_risky_is_warned_of(raw: Raw, path: str, what: str) -> None:
    assert (path, what) in warnings_of(raw)


def test_two_gateways_may_share_a_hostname() -> None:
    servers = {"in": {**VLLM, **INTERNAL}, "out": {**VLLM, **EXTERNAL}}
    assert [gateway.hostnames for gateway in planned(stack(servers)).access.gateways] == [("llm.example.com",)] * 2


@pytest.mark.parametrize(
    ("version", "keys", "expected"),
    [
        ("0.26.0", ["apiKey"], ("VLLM_API_KEY", None, "api_key", 1)),
        ("0.33.0", ["apiKey2", "apiKey"], (None, "/etc/llm-inference/api-keys/api-keys.yaml", "api-keys.yaml", 2)),
    ],
)
def test_one_key_is_read_from_a_variable_and_two_from_a_file(
    version: str, keys: list[str], expected: tuple[str | None, str | None, str, int]
) -> None:
    (server,) = planned(
        one({**VLLM, "version": version, "apiKeys": {"source": "config", "keys": keys}}, tls=None)
    ).servers
    found = server.api_keys
    assert found is not None
    assert (found.variable, found.file, found.secret_key, found.count) == expected
    assert (server.all_arguments[-2:] == ("--config", found.file)) == (found.file is not None)


def test_tgi_does_not_log_its_key() -> None:
    (server,) = planned(one({**TGI, "apiKeys": KEYS}, tls=None)).servers
    assert server.api_keys is not None
    assert server.api_keys.variable == "API_KEY"
    assert dict(server.environment)["LOG_LEVEL"] == "text_generation_launcher=warn,text_generation_router=info"
    (without,) = planned(one(TGI, tls=None)).servers
    assert "LOG_LEVEL" not in dict(without.environment)


ROUTES = st.sampled_from(
    [
        {"path": path, "method": method}
        for path in (
            "/generate",
            "/invocations",
            "/tokenize",
            "/v1/models",
            "/v2/rerank",
            "/",
            "/metrics",
            "/v1/embeddings",
        )
        for method in ("GET", "POST")
    ]
)


def _patch(field: str, value: Any) -> Raw:
    """A patch of the server's container, with its acknowledgment."""
    container = {"name": "inference-server", field: value}
    overrides = [f"spec.containers[inference-server].{field}"]
    return {"patch": {"spec": {"containers": [container]}}, "overrides": overrides}


PATCHES = st.sampled_from(
    [
        _patch("env", None),
        _patch("env", [{"name": "VLLM_API_KEY", "$patch": "delete"}]),
        _patch("env", [{"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"optional": True}}}]),
        _patch("env", [{"name": "API_KEY", "$patch": "delete"}]),
        _patch("args", ["--root-path=/v1"]),
        _patch("command", ["true"]),
        _patch("image", "vllm/vllm-openai:v0.9.0"),
        _patch("volumeMounts", [{"mountPath": "/etc/llm-inference/api-keys", "$patch": "delete"}]),
    ]
)


def changed(base: Raw, changes: dict[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[Raw]:
    """Settings of which a few at most are others: with all of them drawn, next to nothing would be planned."""
    return (
        st.lists(st.sampled_from(sorted(changes)), max_size=most, unique=True)
        .flatmap(lambda names: st.fixed_dictionaries({name: changes[name] for name in names}))
        .map(lambda drawn: {**base, **drawn})
    )


SERVERS = st.sampled_from([("vllm", "0.33.0"), ("tgi", "3.3.7")]).flatmap(
    lambda kind: changed(
        {"kind": kind, "hostname": "", "scale": {"replicas": 2}, "apiKeys": KEYS},
        {
            "kind": st.sampled_from(
                [("vllm", v) for v in CATALOG.servers["vllm"].known_versions] + [("tgi", "2.3.1"), ("tgi", "3.3.7")]
            ),
            "exposure": st.sampled_from(["none", "internal", "external"]),
            "hostname": st.sampled_from([None, "a.example.com", "b.example.com"]),
            "routes": st.lists(ROUTES, max_size=2),
            "routing": st.sampled_from(["service", "inferenceGateway"]),
            "scale": st.sampled_from(
                [
                    *({"replicas": replicas} for replicas in (0, 1)),
                    *(
                        {"autoscaling": {"maxReplicas": 3, "source": source}}
                        for source in ("adapter", "keda", "native")
                    ),
                ]
            ),
            "podPatch": PATCHES,
            "apiKeys": st.sampled_from(
                [
                    {"source": "none"},
                    {"source": "config"},
                    {"source": "config", "keys": ["apiKey2", "apiKey"]},
                    {**KEYS, "content": "vllmConfiguration"},
                    {"source": "secretManager", "secret": "keys", "projectNumber": "123456789012"},
                ]
            ),
        },
        most=2,
    )
)
CLUSTERS = st.sampled_from(
    [
        {"mode": "autopilot", "location": "us-central1"},
        {"mode": "standard", "location": "us-central1"},
        {"mode": "existing", "name": "shared", "location": "us-central1"},
        {"mode": "existing", "kubeconfigContext": "c"},
    ]
)
GATEWAYS = changed(
    {"exposure": "external", "tls": TLS},
    {
        "exposure": st.sampled_from(["none", "internal"]),
        "tls": st.sampled_from(
            [
                None,
                {"source": "certificateManager", "certificates": ["c"]},
                {"source": "certificateManager", "managed": True},
            ]
        ),
        "routing": st.just("inferenceGateway"),
        "rateLimit": st.just({"requests": 60}),
    },
    most=1,
)
OBSERVED = st.sampled_from([{}, {"observability": WATCHED}])


def _runs_as_planned_with_its_key(plan: ServerPlan) -> bool:
    """Whether the pod runs what was planned, and has its key in a variable, or in a file that its arguments name."""
    (container,) = pod_template(plan)["spec"]["containers"]
    assert plan.api_keys is not None
    if (container["image"], container["args"]) != (plan.image, list(plan.all_arguments)):
        return False
    if plan.api_keys.file:
        mounts = {one["mountPath"] for one in container["volumeMounts"]}
        named = container["args"][container["args"].index("--config") + 1]
        return bool(named == plan.api_keys.file and named.rpartition("/")[0] in mounts)
    variables = {one["name"]: one.get("valueFrom", {}) for one in container["env"]}
    secret = variables.get(plan.api_keys.variable or "", {}).get("secretKeyRef", {})
    return bool(secret) and not secret.get("optional")


def test_nothing_is_on_the_internet_without_a_key_and_encryption() -> None:
    planned_on_the_internet = 0

    @settings(PROPERTY, max_examples=120)
    @given(cluster=CLUSTERS, gateway=GATEWAYS, observed=OBSERVED, servers=st.lists(SERVERS, min_size=1, max_size=2))
    def holds(cluster: Raw, gateway: Raw, observed: Raw, servers: list[Raw]) -> None:
        nonlocal planned_on_the_internet
        named = {}
        for index, server in enumerate(servers):
            rest = {key: value for key, value in server.items() if key not in ("kind", "scale")}
            rest["hostname"] = f"s{index}.example.com" if rest["hostname"] == "" else rest["hostname"]
            kind, version = server["kind"]
            model = {"model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096, **UNFIT}
            named[f"s{index}"] = {"server": kind, "version": version, **model, **rest, **server["scale"]}
        pools: Raw = {"nodePools": {"l4": {"maxNodes": 6}}} if cluster["mode"] == "standard" else {}
        there = {"proxySubnet": {"mode": "existing", "cidr": "10.99.0.0/23"}} if cluster["mode"] == "existing" else {}
        outcome = outcome_of(
            {"cluster": cluster, "gateway": {**gateway, **there}, "servers": named, **pools, **observed}
        )
        if isinstance(outcome, StackPlan):
            for reached in outcome.access.servers:
                if reached.exposure == "external":
                    planned_on_the_internet += 1
                    _is_guarded(outcome, reached)

    holds()
    assert planned_on_the_internet > 50


def _is_guarded(outcome: StackPlan, reached: ServerAccess) -> None:
    """Nobody without a key gets anything of a server that is on the internet."""
    (plan,) = [one for one in outcome.servers if one.key == reached.server]
    (load_balancer,) = [one for one in outcome.access.gateways if one.exposure == "external"]
    guarded = guarded_paths(plan.version, CATALOG.access[plan.kind])
    assert load_balancer.encrypted
    assert not outcome.access.certificates or load_balancer.certificates
    assert plan.api_keys is not None
    assert reached.authenticated
    assert reached.routes
    assert all(guarded.guards(route.path, route.method) for route in reached.routes)
    assert _runs_as_planned_with_its_key(plan)
    if reached.picker:
        assert plan.autoscaling or plan.replicas != 1
        assert reached.picker.server_selector == plan.selector, "it chooses among this server's pods alone"


def test_a_server_that_is_reached_lets_in_the_proxies_and_their_health_checks() -> None:
    plan = planned(stack({"chat": {**VLLM, **EXTERNAL}, "alone": VLLM}))
    found = {
        server.key: {str(flow.peer) for flow in server.network_policy.flows if flow.feature == "gateway"}
        for server in plan.servers
        if server.network_policy
    }
    assert found["alone"] == set()
    assert "10.21.0.0/23" in found["chat"]
    assert len(found["chat"]) == 3, "the proxies, and two ranges of Google's health checks"
