"""Recipes of docs/networks.md as they stand there, in networks that need them: all nodes list all others."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

from tests.netns.daemons import asking, names, until

PAGE = (Path(__file__).parents[2] / "docs/networks.md").read_text(encoding="utf-8")
BROADCASTS_EATEN = """
table bridge lab {
    chain forward {
        type filter hook forward priority 0
        ether daddr ff:ff:ff:ff:ff:ff udp dport 3400 drop
    }
}
"""
HUB, A, B = "hub", "a", "b"


def recipe(title):
    """Give the configuration under a title of the page."""
    return dedent(re.search(r"^ *```yaml\n(.*?)^ *```", PAGE.partition(f"\n## {title}\n")[2], re.DOTALL | re.MULTILINE)[1])


@pytest.mark.parametrize(
    ("title", "addresses"),
    [
        ("A VPN", {HUB: "10.8.0.1/32", A: "10.8.0.7/32", B: "10.8.0.8/32"}),
        ("Wi-Fi", {HUB: "192.168.1.10/24", A: "192.168.1.11/24"}),
    ],
)
def test_a_recipe_makes_all_list_all(lab, tmp_path, title, addresses):
    file = tmp_path / "discoveryd.yaml"
    file.write_text(recipe(title))
    hosts = {name: lab.host(name, address=address) for name, address in addresses.items()}
    if title == "Wi-Fi":
        lab.switch.run("nft", "-f", "-", input=BROADCASTS_EATEN)
    for host in hosts.values():
        if title == "A VPN":
            host.ip("route add 10.8.0.0/24 dev eth0")
        host.discoveryd("--config", str(file))
    for name, host in hosts.items():
        with asking(host) as client:
            until(client, names(*(hosts.keys() - {name})))
