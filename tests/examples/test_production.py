"""The example of production has everything on, passes the policies of prod, and says what to do for each alert."""

import re
from pathlib import Path

import pytest
import yaml

from gke_llm_inference.catalog import load_catalog
from gke_llm_inference.planning.observability.texts import anchor
from gke_llm_inference.policy.preview_check import check_recording
from gke_llm_inference.preview.recording import Severity
from tests.cluster.support import plan_of_file
from tests.support import REPOSITORY, Recordings

FOLDER = REPOSITORY / "examples" / "production"
README = (FOLDER / "README.md").read_text("utf-8")
MODES = ("autopilot", "standard")
CHANNEL = "projects/my-project/notificationChannels/1234567890"


def file_of(mode: str) -> Path:
    return FOLDER / f"Pulumi.{mode}.yaml"


def test_there_is_a_stack_file_for_each_mode() -> None:
    assert sorted(FOLDER.glob("Pulumi.*.yaml")) == [file_of(mode) for mode in MODES]


@pytest.mark.parametrize("mode", MODES)
def test_everything_is_on(mode: str) -> None:
    plan = plan_of_file(file_of(mode))
    assert plan.cluster.settings.mode == mode
    (gateway,) = plan.access.gateways
    assert gateway.port == 443
    assert gateway.certificates or gateway.certificate_secret
    reached = {one.server: (one.authenticated, one.picker is not None) for one in plan.access.servers}
    assert reached == {"chat": (True, True), "code": (True, False)}
    for server in plan.servers:
        assert server.api_keys is not None
        assert server.network_policy is not None
        assert server.autoscaling is not None
        assert server.autoscaling.min_replicas == 2
    watched = plan.observability
    assert watched.channels == (CHANNEL,)
    assert watched.has_dashboards
    assert "DCGM" in plan.cluster.monitored_components
    assert [one.path for one in plan.warnings] == ["servers.code.server"], "TGI is in maintenance mode"


@pytest.mark.parametrize("mode", MODES)
def test_no_policy_of_prod_says_more_than_that_digests_and_commits_are_not_recorded(
    mode: str, recordings: Recordings
) -> None:
    recording = recordings.file(file_of(mode))
    assert recording.messages(Severity.ERROR) == ()
    report = check_recording(recording, "prod")
    assert report.passed
    assert {(one.policy.name, one.level) for one in report.found} == {
        ("image-digests", "advisory"),
        ("model-revisions", "advisory"),
    }
    assert "gke_llm_inference images --stack prod-chat --record" in README
    assert "gke_llm_inference models --stack prod-chat --record" in README


def test_each_alert_has_its_row_with_a_link_to_its_runbook() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| \[([a-z-]+)\]\(\.\./\.\./docs/runbooks\.md#([a-z-]+)\) \|$", README, re.M
    )
    facts = load_catalog().alerts.alerts
    assert rows == [(one.title, anchor(kind), anchor(kind)) for kind, one in facts.items()]


@pytest.mark.parametrize("mode", MODES)
def test_there_is_no_alert_that_the_readme_does_not_have(mode: str) -> None:
    raised = {one.kind for one in plan_of_file(file_of(mode)).observability.alerts}
    assert raised == set(load_catalog().alerts.alerts)


def test_with_recorded_digests_and_commits_no_policy_of_prod_says_anything(recordings: Recordings) -> None:
    content = yaml.safe_load(file_of("autopilot").read_text("utf-8"))
    plan = plan_of_file(file_of("autopilot"))
    assert plan.metrics_adapter is not None
    images = [*(image for server in plan.servers for image in server.images), plan.metrics_adapter.image]
    content["config"]["gke-llm-inference:imageDigests"] = dict.fromkeys(images, f"sha256:{'0' * 64}")
    models = (server.model for server in plan.servers)
    content["config"]["gke-llm-inference:modelRevisions"] = dict.fromkeys(models, "0" * 40)
    assert check_recording(recordings.config(yaml.safe_dump(content)), "prod").found == ()
