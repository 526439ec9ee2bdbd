"""The page about the network is generated, and its example is planned as it stands there."""

from __future__ import annotations

import re

from tests.support import REPOSITORY
from tools.network_reference import example, page

PAGE = REPOSITORY / "docs" / "network.md"


def test_the_page_about_the_network_is_generated() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: make generate"


def test_the_table_of_the_page_has_every_flow_of_its_example() -> None:
    rows = re.findall(r"^\| (chat|from-bucket) \| ", PAGE.read_text("utf-8"), re.MULTILINE)
    flows = [server.key for server in example().servers if server.network_policy for _ in server.network_policy.flows]
    assert rows == flows


def test_every_feature_of_the_table_is_explained() -> None:
    text = PAGE.read_text("utf-8")
    explained = set(re.findall(r"^\| `(\w+)` \| (?:in|out) \|", text, re.MULTILINE))
    assert {
        flow.feature for server in example().servers if server.network_policy for flow in server.network_policy.flows
    } <= explained
