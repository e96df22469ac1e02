"""Real ufw and firewalld, each in a host of its own: found, named, and opened by the very command that the doctor prints."""

import json
import shutil

import pytest

from tests.netns.daemons import asking, until
from tests.netns.test_doctor import until_verdict

UFW = """
mkdir -p /run/own && cp -a /etc/ufw /run/own/etc && cp -a /lib/ufw /run/own/lib && cp /etc/default/ufw /run/own/default
mount --bind /run/own/etc /etc/ufw && mount --bind /run/own/lib /lib/ufw && mount --bind /run/own/default /etc/default/ufw
sed -i 's/^ENABLED=.*/ENABLED=no/' /etc/ufw/ufw.conf && ufw --force enable
"""
"""Gives the host a configuration of its own: nothing of the machine that the tests run on is changed."""

FIREWALLD = """
mkdir -p /run/own /run/dbus && cp -a /etc/firewalld /run/own/etc && mount --bind /run/own/etc /etc/firewalld
mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/system.slice/firewalld.service
dbus-daemon --system --fork --nopidfile
firewalld --nofork --nopid >/run/own/log 2>&1 &
for _ in $(seq 100); do firewall-cmd --state 2>&1 && break; sleep 0.1; done
"""
"""Starts it as its unit does, with a bus of its own, and the sign of systemd that the unit runs."""


TOOLS = {
    "ufw": (UFW, "active", "ufw allow 3400/udp"),
    "firewalld": (FIREWALLD, "running", "firewall-cmd --permanent --add-port=3400/udp && firewall-cmd --reload"),
}
MISSING = [tool for tool in TOOLS if not shutil.which(tool, path="/usr/sbin:/usr/bin")]


@pytest.mark.usefixtures("firewall")
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {' '.join(MISSING)}")
def test_a_firewall_is_opened_by_the_command_that_is_printed(lab):
    well, *shut = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in enumerate(("well", *TOOLS), 1))
    for host, (begin, works, _) in zip(shut, TOOLS.values(), strict=True):
        assert works in host.run("sh", "-ec", begin).stdout
    for host in (well, *shut):
        host.discoveryd()
    for host, (tool, (_, _, command)) in zip(shut, TOOLS.items(), strict=True):
        found = until_verdict(host, "own-firewall-in")
        [finding] = [one for one in found["findings"] if one["code"] == "own-firewall-in"]
        assert (finding["certainty"], finding["remedy"]) == ("proven", [command])
        until_verdict(well, "peer-firewall-in", tool)
    for host, (_, _, command) in zip(shut, TOOLS.values(), strict=True):
        host.run("sh", "-c", command)
    with asking(well) as client:
        _, took = until(client, lambda peers: [peer["two_way"] for peer in peers] == [True] * len(TOOLS))
    # a PING that is answered before a HELLO was heard tells that we are not heard: then the next comes 5 s later
    assert took < 9.0
    for host in shut:
        assert "well" in [peer["name"] for peer in json.loads(host.discoveryctl("list", "--json").stdout)["peers"]]
