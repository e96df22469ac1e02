"""The long bars: what takes minutes to show, and so is shorter in README's test line.

    sudo python tests/long/run.py                 all of them, one after the other
    sudo python tests/long/run.py hour day        some of them
    python tests/long/run.py --list

Prints a table with a line for each bar, and ends with 1 if one failed. The output of a bar that fails is printed whole.
`booted` needs what tests/systemd/run.py names; the bars of namespaces need root.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Bar:
    """What a run shows.

    Attributes:
        shows: the promise, in words.
        tests: arguments of pytest.
        variables: that make these tests long.
    """

    shows: str
    tests: tuple[str, ...]
    variables: dict[str, str]


BARS = {
    "hour": Bar(
        "50 machines, 20 % loss, an hour of joins and crashes: no false alarm, the same to the bit",
        ("tests/simulation/test_hour.py",),
        {"DISCOVERYD_HOUR_MACHINES": "50"},
    ),
    "day": Bar(
        "24 hours of churn: memory is flat", ("tests/simulation/test_day.py",), {"DISCOVERYD_DAY_HOURS": "24"}
    ),
    "storm": Bar(
        "60 nodes start at once, without loss and at 30 %: within the budget, and nobody is taken down",
        ("tests/simulation/test_mass_start.py",),
        {"DISCOVERYD_STORM_NODES": "60"},
    ),
    "loss": Bar(
        "10 hosts, 30 % loss, two minutes: nobody is taken down",
        ("tests/netns/test_liveness.py::test_thirty_percent_loss_takes_nobody_down",),
        {"DISCOVERYD_LOSS_SECONDS": "120"},
    ),
    "ipv6": Bar(
        "IPv6 alone: a peer is listed 150 ms after its start, and after the kernel gives it a new link-local address; "
        "1.6 s after carrier where it has kept its address, or may use a new one at once",
        ("tests/netns/test_ipv6.py",),
        {"DISCOVERYD_IPV6_MEASURED": "1"},
    ),
    "send": Bar(
        "10 hosts, 20 % loss each way: a message is acknowledged by all within 1.5 s, and handled once",
        ("tests/netns/test_messages.py::test_ten_hosts_at_20_percent_loss_handle_a_message_once",),
        {"DISCOVERYD_SEND_SECONDS": "1.5"},
    ),
    "routed": Bar(
        "100 routed nodes, 20 % loss, 20 HELLOs a second of each, with three seeds: complete, and nobody is taken down",
        ("tests/protocol/test_routed.py::test_at_20_percent_loss_all_are_found_and_none_lost",),
        {"DISCOVERYD_ROUTED_NODES": "100", "DISCOVERYD_ROUTED_SEEDS": "3"},
    ),
    "victim": Bar(
        "liars name one victim to 100 nodes at once, with five seeds: it gets five PINGs in any second at most",
        ("tests/protocol/test_candidates.py::test_a_victim_gets_five_pings_a_second_of_all",),
        {"DISCOVERYD_ROUTED_NODES": "100", "DISCOVERYD_ROUTED_SEEDS": "5"},
    ),
    "subnets": Bar(
        "three routed subnets of 5 hosts, one seed by name: all list all; the seed is killed, and nobody else is lost",
        ("tests/netns/test_routed.py::test_one_seed_by_name_leads_sealed_subnets_to_each_other",),
        {"DISCOVERYD_ROUTED_HOSTS": "5"},
    ),
    "sites": Bar(
        "three sites of 5 hosts, 25 % loss, real nats-servers: each of these and each gateway is stopped for a minute, "
        "killed, cut off; nobody is taken down, a silent site is unknown within 12 s and back within 5 s",
        ("tests/long/sites.py",),
        {"DISCOVERYD_SITES_STOP": "60"},
    ),
    "one-socket": Bar(
        "liveness, last wills and a flood where there is no quiet socket",
        ("tests/netns/test_liveness.py", "tests/netns/test_wills.py", "tests/netns/test_flood.py"),
        {"DISCOVERYD_ONE_SOCKET": "1"},
    ),
    "prefixes": Bar(
        "/24, /16 and /25 on one wire, a minute without an event",
        ("tests/netns/test_prefixes.py",),
        {"DISCOVERYD_PREFIX_SECONDS": "60"},
    ),
    "joins": Bar(
        "10,000 joins at 30 % loss: at most one peer is said not to hear us, though it does",
        ("tests/simulation/test_joins.py",),
        {"DISCOVERYD_JOINS": "10000"},
    ),
    "fuzz": Bar(
        "100,000 examples of each property",
        ("tests/properties", "tests/runtime/test_any_bytes.py"),
        {"DISCOVERYD_FUZZ_EXAMPLES": "100000"},
    ),
    "wills": Bar(
        "10 daemons, one killed each second for a minute, at 0 and 30 % loss: the others know in time, none before",
        ("tests/long/wills.py",),
        {},
    ),
    "names": Bar(
        "2,000 questions of DNS a second among 160 peers: `list` below 10 ms (p95)", ("tests/long/names.py",), {}
    ),
    "history": Bar(
        "a history of 1,000 peers and a year, kills, a full disk, three minutes of 1,000 forged peers a second, our own "
        "cable pulled",
        ("tests/long/history.py", "tests/netns/test_history.py"),
        {"DISCOVERYD_CUT_SECONDS": "15"},
    ),
    "web": Bar(
        "100 clients of events (32 streams, the others told so), 2,000 questions of DNS a second: list within 10 ms on an "
        "open connection, HELLOs on time, memory bounded",
        ("tests/long/web.py",),
        {"DISCOVERYD_WEB_SECONDS": "60"},
    ),
    "doctor": Bar(
        "three healthy hosts, then with 30 % loss, asked 50 times each: the doctor finds no fault",
        (
            "tests/netns/test_doctor.py::test_healthy_machines_have_no_fault",
            "tests/netns/test_doctor.py::test_loss_is_told_as_loss_and_as_nothing_else",
        ),
        {"DISCOVERYD_DOCTOR_ASKS": "50"},
    ),
    "site-histories": Bar(
        "300 random histories of three sites, sealed and plain, and a broker that lies: each follower has the truth after "
        "them, nobody is falsely down, no ghost outlives its ttl",
        ("tests/sites/test_history.py", "tests/sites/test_attacks.py"),
        {"DISCOVERYD_SITES_SEEDS": "100"},
    ),
    "sdist": Bar(
        "the source distribution alone, in a fresh environment: README's test line passes", ("tests/long/sdist.py",), {}
    ),
    "pythons": Bar(
        "a large part of the suite with each of Python 3.11 to 3.14 that is here", ("tests/long/pythons.py",), {}
    ),
    "booted": Bar("the service on booted machines; the Debian package, uv tool and pipx", ("tests/systemd",), {"DISCOVERYD_SYSTEMD": "1"}),
}


def play(name: str) -> tuple[str, float]:
    """Run a bar; return its last line of output and the seconds it took, after printing all of it if it failed."""
    bar = BARS[name]
    began = perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=0", *bar.tests],
        cwd=ROOT, env={**os.environ, **bar.variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
    verdict = "holds" if done.returncode == 0 and " skipped" not in lines[-1] else "NOT SHOWN"
    return f"{verdict}: {lines[-1].strip('= ')}", perf_counter() - began


def main() -> int:
    """Run what was asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bars", nargs="*", metavar="BAR", help=f"one of {', '.join(BARS)}; all without one")
    parser.add_argument("--list", action="store_true", help="print the bars, and run none")
    options = parser.parse_args()
    if unknown := set(options.bars) - BARS.keys():
        parser.error(f"no such bar: {', '.join(sorted(unknown))}; there are {', '.join(BARS)}")
    if options.list:
        for name, bar in BARS.items():
            print(f"{name:10} {bar.shows}")
        return 0
    rows = []
    for name in options.bars or BARS:
        print(f"... {name}: {BARS[name].shows}", file=sys.stderr, flush=True)
        rows.append((name, *play(name)))
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| bar | shows | seconds | result |\n|---|---|---|---|")
    for name, result, seconds in rows:
        print(f"| {name} | {BARS[name].shows} | {seconds:.0f} | {result} |")
    return int(any("NOT SHOWN" in result for _, result, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
