"""A real ufw in a host of its own: its firewall is found, named, and opened by the very command that the doctor prints."""

import json
import shutil

import pytest

from tests.netns.daemons import asking, until
from tests.netns.test_doctor import until_verdict

OWN = """
mkdir -p /run/own && cp -a /etc/ufw /run/own/etc && cp -a /lib/ufw /run/own/lib && cp /etc/default/ufw /run/own/default
mount --bind /run/own/etc /etc/ufw && mount --bind /run/own/lib /lib/ufw && mount --bind /run/own/default /etc/default/ufw
sed -i 's/^ENABLED=.*/ENABLED=no/' /etc/ufw/ufw.conf && ufw --force enable
"""
"""Gives the host a configuration of its own: nothing of the machine that the tests run on is changed."""


@pytest.mark.usefixtures("firewall")
@pytest.mark.skipif(not shutil.which("ufw", path="/usr/sbin:/usr/bin"), reason="ufw is not installed")
def test_ufw_is_opened_by_the_command_that_is_printed(lab):
    well, shut = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in enumerate(("well", "shut"), 1))
    assert "active" in shut.run("sh", "-ec", OWN).stdout
    for host in (well, shut):
        host.discoveryd()
    found = until_verdict(shut, "own-firewall-in")
    [finding] = [one for one in found["findings"] if one["code"] == "own-firewall-in"]
    assert (finding["certainty"], finding["remedy"]) == ("proven", ["ufw allow 3400/udp"])
    until_verdict(well, "peer-firewall-in", "shut")
    shut.run("sh", "-c", *finding["remedy"])
    with asking(well) as client:
        _, took = until(client, lambda peers: [peer["two_way"] for peer in peers] == [True])
    assert took < 2.0
    assert json.loads(shut.discoveryctl("list", "--json").stdout)["peers"][0]["name"] == "well"
