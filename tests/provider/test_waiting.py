"""Custom resources of a program in another language wait until their API is served, too."""

from pathlib import Path

import grpc
import pytest

from gke_llm_inference.provider.arguments import STACK_TYPE
from tests.components.test_served_apis import TOKEN, UNSERVED, StandIn, stand_in
from tests.provider.support import running
from tests.support import of_type

__all__ = ["stand_in"]

pytestmark = pytest.mark.processes

STACK = {
    "cluster": {"mode": "existing", "kubeconfigContext": "x"},
    "huggingFace": {"tokenSource": "secretManager", "secret": "hf", "projectNumber": "123456789012"},
    "servers": {"qwen": {"server": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "maxModelLen": 4096}},
    "gcpProject": "my-project",
}
BOTH = {"resources": [{"kind": "SecretProviderClass"}, {"kind": "SecretSync"}]}
SYNC = "kubernetes:secret-sync.gke.io/v1:SecretSync"


def kubeconfig(stand_in: StandIn, directory: Path) -> dict[str, str]:
    path = directory / "kubeconfig"
    path.write_text(stand_in.kubeconfig({"token": TOKEN}))
    return {"GKE_LLM_INFERENCE_KUBECONFIG": str(path)}


def test_an_update_waits_in_the_provider_and_a_preview_does_not(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.answers = [UNSERVED, UNSERVED, (200, BOTH)]
    with running(kubeconfig(stand_in, tmp_path)) as provider:
        previewed = provider.construct(STACK_TYPE, STACK, preview=True)
        assert stand_in.asked == []
        deployed = provider.construct(STACK_TYPE, STACK, preview=False)
    assert len(stand_in.asked) >= 3
    for made in (previewed, deployed):
        assert [one.inputs["metadata"]["name"] for one in of_type(made.recording, SYNC)] == ["hf-secret"]
    assert any("waiting for Secret" in entry.message for entry in deployed.recording.logs)


def test_a_refusal_of_the_api_server_ends_the_construction(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.answers = [(403, {})]
    with running(kubeconfig(stand_in, tmp_path)) as provider, pytest.raises(grpc.RpcError) as caught:
        provider.construct(STACK_TYPE, STACK, preview=False)
    assert "the API server refuses to say which APIs it serves (403)" in str(caught.value)
    assert TOKEN not in str(caught.value)
