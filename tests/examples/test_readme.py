"""What the README tells to do before a deployment is what the stacks need."""

import re
import shlex

from tests.support import REPOSITORY, STACKS, Recordings

# The API that a module of Google Cloud's provider calls.
APIS = {
    "compute": "compute",
    "container": "container",
    "monitoring": "monitoring",
    "projects": "cloudresourcemanager",
    "secretmanager": "secretmanager",
    "serviceaccount": "iam",
}


def commands(start: str) -> list[list[str]]:
    """The commands of the README's blocks that begin like this, as a shell reads them."""
    text = (REPOSITORY / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith(start)]


def test_every_api_that_a_stack_calls_is_enabled(recordings: Recordings) -> None:
    modules = {
        resource.type.split(":")[1].partition("/")[0].lower()
        for stack in STACKS
        for resource in recordings.stack(stack).resources
        if resource.type.startswith("gcp:")
    }
    (enable,) = commands("gcloud services enable")
    assert set(enable[3:]) == {f"{APIS[module]}.googleapis.com" for module in modules}


def test_every_configuration_key_exists_and_the_token_is_a_secret() -> None:
    words = commands("pulumi config set")
    assert [(command[-1] if "--secret" in command else command[3]) for command in words] == [
        "gcp:project",
        "huggingFaceToken",
    ]
    assert "--secret" in words[1]
