"""What looks like a secret is refused wherever it stands, what every stack has is not, and neither is slow."""

import base64
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.secret_rules import holds_secret, is_secret_variable, kind_of_secret, masked
from gke_llm_inference.settings import Refusal
from gke_llm_inference.settings.findings import Finding
from gke_llm_inference.settings.stack_config import settings_of
from tests.settings.support import changed, dotted, full_stack, leaves, outcome_of, variants

# Put together here, so that no scanner takes this file for a leak.
CORE = "Zk3q8R" + "vT1xW7" + "yB5nC9" + "mD2pF4" + "gH6jK0" + "sLaQeU"
SECRETS = {
    "AWS access key": "AKIA" + CORE[:16].upper(),
    "AWS temporary key": "ASIA" + CORE[:16].upper(),
    "Azure storage": f"DefaultEndpointsProtocol=https;AccountName=models;AccountKey={CORE}==;EndpointSuffix=x",
    "GitHub classic": f"ghp_{CORE}",
    "GitHub app": f"ghs_{CORE}",
    "GitHub fine-grained": f"github_pat_{CORE}_{CORE}",
    "GitLab": f"glpat-{CORE[:20]}",
    "Google API key": f"AIza{CORE[:35]}",
    "Google OAuth": f"ya29.{CORE}",
    "JSON Web Token": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtb2RlbHMifQ.{CORE}",
    "OpenAI": f"sk-{CORE}",
    "OpenAI project": f"sk-proj-{CORE[:12]}_{CORE[12:]}",
    "Anthropic": f"sk-ant-api03-{CORE}",
    "Slack": f"xoxb-123456789012-{CORE.lower()}",
    "SendGrid": f"SG.{CORE[:22]}.{(CORE * 2)[:43]}",
    "Stripe": f"sk_live_{CORE[:24]}",
    "npm": f"npm_{CORE}",
    "PyPI": f"pypi-AgEIcHlwaS5vcmc{CORE * 2}",
    "RSA key": f"-----BEGIN RSA PRIVATE KEY-----\n{CORE}\n-----END RSA PRIVATE KEY-----",
    "OpenSSH key on one line": rf"-----BEGIN OPENSSH PRIVATE KEY-----\n{CORE}\n",
    "service account": f'{{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----{CORE}"}}',
    "PostgreSQL": f"postgresql://app:{CORE}@10.0.0.3:5432/llm?sslmode=require",
    "Redis without a user": f"redis://:{CORE}@cache:6379/0",
    "MongoDB, password not escaped": f"mongodb+srv://app:{CORE}!(x)@cluster0.example.net/",
    "MySQL of Go": f"root:{CORE}@tcp(10.0.0.3:3306)/llm",
    "PostgreSQL, key=value": f"host=10.0.0.3 user=app password={CORE} dbname=llm",
    "SQL Server": f"Server=tcp:db,1433;User ID=sa;Password={CORE};",
    "mirror with a user": f"https://robot:{CORE}@mirror.example.com/simple",
    "signed URL": f"https://storage.googleapis.com/b/model.tar?X-Goog-Signature={CORE.lower()}",
    "SAS URL": f"https://models.blob.core.windows.net/w?sv=2024-11-04&sig={CORE}%3D",
    "header": f"authorization=Bearer {CORE}",
    "basic header": f"Authorization: Basic {CORE}==",
    "key in JSON": f'{{"endpoint": "https://x", "api_key": "{CORE}"}}',
}
ORDINARY = [
    "sha256:" + "0123456789abcdef" * 4,
    "us-docker.pkg.dev/team/images/vllm:v0.26.0@sha256:" + "8f" * 32,
    "us-docker.pkg.dev/team/secret/password:1.2.3",
    "ff3f1ef6d8e3d1b4b8b6d3a1c1f04bd39d2b0ea4",
    "refs/pr/12",
    "google/gemma-7b-it",
    "meta-llama/Llama-3.3-70B-Instruct",
    "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16",
    "projects/my-project/secrets/hf-token",
    "gs://models/llama/secret/v1",
    "http://otel-collector.monitoring.svc:4317",
    "https://user@mirror.example.com/simple",
    "http://localhost:8000/@scope/package",
    "llm@my-project.iam.gserviceaccount.com",
    "projects/my-project/locations/us-central1/keyRings/a/cryptoKeys/b",
    "arn:aws:iam::123456789012:role/reader",
    "10.0.0.0/20",
    "fd00::1",
    "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "APACHEBENCHMARK",
    "disk-with-a-long-name-and-no-more",
    "task-abcdefghijklmnopqrstuvwxyz",
    "expandable_segments:True,max_split_size_mb:512",
    "basic authentication is done by the gateway",
    "-----BEGIN CERTIFICATE-----",
    "postgres://app:$PASSWORD@db/llm",
    "postgres://app:{password}@db/llm",
    "password=/run/secrets/password",
    "--hf-overrides={\"max_position_embeddings\": 65536}",
    '--override-generation-config={"temperature": 0.1, "eos_token_id": [1, 106]}',
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}{{ message['content'] }}{% endfor %}",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_found_alone_and_within_a_text(secret: str) -> None:
    for text in (secret, f"see {secret} here", f'"{secret}"'):
        assert kind_of_secret(text), text


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize(
    ("path", "where"),
    [
        (("servers", "gemma", "extraEnv"), "servers.gemma.extraEnv.SETTING"),
        (("servers", "gemma", "extraArgs"), "servers.gemma.extraArgs[0]"),
        (("servers", "gemma", "image"), "servers.gemma.image"),
        (("servers", "gemma", "model"), "servers.gemma.model"),
        (("servers", "gemma", "revision"), "servers.gemma.revision"),
        (("servers", "gemma", "labels", "team"), "servers.gemma.labels.team"),
        (("cluster", "authorizedNetworks", 0, "name"), "cluster.authorizedNetworks[0].name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_secret_is_refused_at_its_place_and_not_repeated(secret: str, path: tuple[Any, ...], where: str) -> None:
    wrapped = {"extraArgs": [f"--served-model-name={secret}"], "extraEnv": {"SETTING": secret}}
    value: Any = wrapped.get(str(path[-1]), secret)
    refusal = outcome_of(changed(full_stack(), path, value))
    assert isinstance(refusal, Refusal)
    assert {problem.path for problem in refusal.problems} == {where}
    assert "secret" in refusal.problems[0].what or "Hugging Face" in refusal.problems[0].what
    assert refusal.problems[0].why.endswith("in clear text")
    assert CORE[:12] not in f"{refusal}{refusal!r}".replace(CORE.lower()[:12], CORE[:12])


def test_a_secret_is_refused_in_the_place_of_any_value() -> None:
    planted = SECRETS["PostgreSQL"]
    for name, raw in variants().items():
        for path, _ in leaves(raw):
            outcome = outcome_of(changed(raw, path, planted))
            assert isinstance(outcome, Refusal), (name, dotted(path))
            assert [one.what for one in outcome.problems] in (
                ["holds a secret"],
                ["would put a secret on the command line"],
            ), (name, dotted(path))


@pytest.mark.parametrize("key", ["gcp:credentials", "gcp:accessToken", "other:connection", "gke-llm-inference:unknown"])
def test_a_secret_is_refused_under_every_namespace_of_a_stack_file(key: str, tmp_path: Any) -> None:
    for name, secret in SECRETS.items():
        with pytest.raises(Refusal) as caught:
            settings_of({key: secret}, (), "gke-llm-inference", tmp_path)
        found = {problem.path: problem.what for problem in caught.value.problems}
        where = key.removeprefix("gke-llm-inference:")
        assert any(path.startswith(where) and what == "holds a secret" for path, what in found.items()), (name, found)
        assert CORE not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("other:dbPassword", "hunter2", True),
        ("gcp:accessToken", "opaque", True),
        ("other:api", {"clientSecret": "hunter2"}, True),
        ("other:secretName", "hf-secret", False),
        ("gcp:impersonateServiceAccount", "a@b.iam.gserviceaccount.com", False),
        ("gcp:region", "us-central1", False),
    ],
)
def test_a_telling_name_is_enough_outside_the_settings(key: str, value: Any, refused: bool, tmp_path: Any) -> None:
    with pytest.raises(Refusal) as caught:
        settings_of({key: json.dumps(value)}, (), "gke-llm-inference", tmp_path)
    assert any(problem.path.startswith(key) for problem in caught.value.problems) is refused


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("DB_PASSWORD", "hunter2", True),
        ("REDIS_PASS", "hunter2", True),
        ("SIGNING_KEY", "hunter2", True),
        ("MYSQL_PWD", "hunter2", True),
        ("HF_TOKEN", "false", True),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/var/run/google/key.json", False),
        ("HF_TOKEN_PATH", "/secrets/token", False),
        ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("BYPASS", "1", False),
    ],
)
def test_a_variable_is_a_secret_by_its_name(name: str, value: str, refused: bool) -> None:
    assert is_secret_variable(name, value) is refused


def test_an_encrypted_value_of_another_namespace_is_left_alone(tmp_path: Any) -> None:
    with pytest.raises(Refusal) as caught:
        settings_of({"gcp:credentials": SECRETS["service account"]}, {"gcp:credentials"}, "gke-llm-inference", tmp_path)
    assert {problem.path for problem in caught.value.problems} == {"cluster", "servers"}


@pytest.mark.parametrize("text", ORDINARY)
def test_what_every_stack_has_is_not_a_secret(text: str) -> None:
    assert (kind_of_secret(text), masked(text)) == (None, text)


def test_nothing_of_the_catalog_is_a_secret() -> None:
    catalog = load_catalog()
    texts = {*catalog.models, *catalog.machine_types, *catalog.accelerators, *catalog.presets}
    of_secrets = {"--api-key=1", "--hf-token=1", "--ngrok-authtoken=1", "--ssl-keyfile-password=1"}
    texts |= {f"{flag}=1" for flag in _flags()} - of_secrets
    assert {text: kind for text in texts if (kind := kind_of_secret(text))} == {}


def test_random_texts_are_not_secrets() -> None:
    """A template, a digest or a revision in base64 or hexadecimal is refused by none of the rules."""
    source = random.Random(20)
    for _ in range(300):
        content = source.randbytes(source.randrange(8, 2_000))
        for text in (base64.b64encode(content).decode(), content.hex()):
            assert not holds_secret(text), text


def test_a_placeholder_is_not_a_secret() -> None:
    for stands_for in ("$PASSWORD", "${PASSWORD}", "{password}", "<password>", "****"):
        assert kind_of_secret(f"postgres://app:{stands_for}@db/llm") is None
        assert kind_of_secret(f"host=db password={stands_for}") is None


def test_a_finding_holds_nothing_of_a_secret() -> None:
    for name, secret in SECRETS.items():
        if holds_secret(secret):
            shown = str(Finding(path=f"a.{secret}", what=secret, why=secret, fix=secret, file=secret))
            assert CORE[:22] not in shown, name
            assert "[secret]" in shown


@pytest.mark.parametrize("unit", ["a", "://a", "sk-ant-", "eyJa.", "password ", "a://x:", "0a", "basic ", "aws key "])
def test_a_long_text_takes_no_more_than_its_length(unit: str) -> None:
    """Some rules take quadratic time over a whole text: four times the text would take sixteen times as long."""

    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        started = time.process_time()
        kind_of_secret(text)
        return time.process_time() - started

    kind_of_secret("warm up the rules")
    assert seconds(40_000) < 8 * max(seconds(10_000), 0.02)


def test_nothing_is_imported_before_the_first_question() -> None:
    program = (
        "import sys\n"
        "import gke_llm_inference\n"
        "from gke_llm_inference import parse_settings, plan_stack\n"
        "print([name for name in ('detect_secrets', 'requests', 'pulumi') if name in sys.modules])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def _flags() -> Iterator[str]:
    for versions in load_catalog().flags.values():
        for version in versions:
            yield from versions[version].flags
