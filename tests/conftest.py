"""What holds for every test: it leaves no thread, socket or file open, and gets no configuration from outside.

Several workers (``-n 3``) run tests at the same time on one loopback. A test asks `discoveryd.net.sockets.free_port`
for a port, or lets the kernel choose one (port 0), and never writes one down: then any 127.0.0.x will do.
Here `free_port` gives each worker ports of its own, that no other worker and no outgoing connection gets.
"""

import gc
import os
import resource
import shutil
import signal
import socket
import sys
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import HealthCheck, settings

from discoveryd.net import sockets

ROOT = Path(__file__).parents[1]
BUSY = 1.0 if os.environ.get("DISCOVERYD_IDLE") else 5.0
"""What takes some time on idle cores may take so many times as long on busy ones; DISCOVERYD_IDLE=1 allows no more."""
GRACE = 2.0
"""Seconds in which a thread that was told to end may end."""


IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

LEAST = 200 if IN_CI else 60
"""Examples of a property that plays many steps in each; a longer run plays a tenth of what it asks for."""
settings.register_profile(
    "discoveryd",
    max_examples=max(LEAST, int(os.environ.get("DISCOVERYD_FUZZ_EXAMPLES") or 0) // 10),
    stateful_step_count=60,
    deadline=None,  # this machine may be busy
    derandomize=IN_CI,
    database=None,  # a failure prints its blob instead; put what it found into tests/fuzz/corpus
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("discoveryd")

OURS = frozenset(
    f"DISCOVERYD_{one}"
    for one in ("FUZZ_EXAMPLES", "HOUR_MACHINES", "DAY_HOURS", "LOSS_SECONDS", "PREFIX_SECONDS", "FLOOD_SECONDS",
                "FLOOD_RATE", "ROUTED_NODES", "ROUTED_SEEDS", "ROUTED_HOSTS", "SEND_SECONDS", "STORM_NODES", "IPV6_MEASURED", "JOINS",
                "CUT_SECONDS", "SITES_SEEDS", "WEB_SECONDS", "IDLE", "SYSTEMD")
)
"""Variables that make a test longer (tests/long/run.py), and configure nothing."""

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_RANGE = range(10_000 + WORKER % 20 * 1_000, 11_000 + WORKER % 20 * 1_000)  # below those that kernels give out
_begin = os.getpid() % 1_000
_ports = list(chain(_RANGE[_begin:], _RANGE[:_begin]))


def own_port(address, kind):
    """Give a port of this worker that nobody holds, not the same again soon."""
    for port in tuple(_ports):
        _ports.append(_ports.pop(0))
        kind_of_socket = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind_of_socket) as probe, suppress(OSError):
            probe.bind((address, port))
            return port
    raise OSError(f"no port of {_RANGE} is free")


sockets.free_port = own_port  # before any test module takes it from there

OF_AN_EXAMPLE, LEAST_OF_A_PROPERTY = 0.06, 600.0
"""Seconds that a property may take: for each example where many are asked for, and at least."""
LIMIT = pytest.StashKey()
"""The settings of the limit that a test has."""


@pytest.hookimpl(trylast=True)  # after hypothesis has marked its own
def pytest_collection_modifyitems(config, items):
    """Give properties, which play thousands of examples in one test, a limit of their own, unless an option sets one."""
    if config.getoption("timeout") is not None:
        return
    limit = max(LEAST_OF_A_PROPERTY, OF_AN_EXAMPLE * int(os.environ.get("DISCOVERYD_FUZZ_EXAMPLES") or 0))
    for item in items:
        if item.get_closest_marker("hypothesis") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(limit))


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item, settings):
    """Interrupt what hangs again and again: hypothesis plays an example that failed once more, a fixture cleans up."""
    item.stash[LIMIT] = settings
    found = yield
    if callable(signal.getsignal(signal.SIGALRM)):
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, settings.timeout / 10)
    return found


def limited(item):
    """Give a phase of a test the whole time, also after one that failed, and interrupt nothing between two phases."""
    settings = item.stash.get(LIMIT, None)
    if settings is None:
        return (yield)
    item.ihook.pytest_timeout_cancel_timer(item=item)
    item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
    try:
        return (yield)
    finally:
        item.ihook.pytest_timeout_cancel_timer(item=item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    return (yield from limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    return (yield from limited(item))


def pytest_configure(config):
    """Keep what Python compiles as long as the tests run, where PYTHONDONTWRITEBYTECODE says that nothing is kept.

    Else each worker compiles all tests, and each of some hundred daemons all of discoveryd: a minute of two cores.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun by `&` of a script: children would ignore it, too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.dont_write_bytecode and not hasattr(config, "workerinput"):
        before = compiled()
        config.add_cleanup(lambda: [shutil.rmtree(one, ignore_errors=True) for one in compiled() - before])
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # it may be an option (-B)
        sys.dont_write_bytecode = False


def compiled():
    """Give the directories of what Python compiled of this repository."""
    return {path for top in ("discoveryd", "tests") for path in (ROOT / top).rglob("__pycache__")}


def pytest_sessionfinish(session):
    """Fail a run of CI that skipped something."""
    if IN_CI and session.exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Say what was skipped, last of all."""
    reasons = _skipped(terminalreporter.config)
    if reasons:
        terminalreporter.section("CI must skip nothing" if IN_CI else "skipped", red=IN_CI, yellow=not IN_CI)
    for reason, count in Counter(reasons).items():
        terminalreporter.line(f"{count} x {reason}")


def _skipped(config):
    """Give the reasons; what runs only for those that ask for it by a variable is not counted."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")  # the workers have none
    reasons = [report.longrepr[2] for report in reporter.stats.get("skipped", ())] if reporter else []
    return [reason for reason in reasons if "set DISCOVERYD_" not in reason]


def descriptors():
    """Give the open descriptors of this process with what they are of."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except OSError:
            continue  # the one of the directory itself
    return found


def memory_of(pid):
    """Give the bytes of memory that a process has in use."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def processor_time_of(pid):
    """Give the seconds of processor time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descendants(pid):
    """Count the processes below a process."""
    parents = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
    count, below = -1, {pid}
    while below:
        count += len(below)
        below = {child for child, parent in parents.items() if parent in below}
    return count


@contextmanager
def no_descriptors():
    """Leave this process without a free descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(number for number, _ in descriptors()) + 1, hard))
        with suppress(OSError):
            while True:  # those between the ones that are open
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


@pytest.fixture(autouse=True)
def no_foreign_configuration(monkeypatch):
    for name in list(os.environ):
        if name.startswith("DISCOVERYD_") and name not in OURS:
            monkeypatch.delenv(name)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)


@pytest.fixture(autouse=True)
def nothing_leaks():
    """Fail a test after which a thread runs or a descriptor is open that was not there before."""
    threads, opened = set(threading.enumerate()), descriptors()
    yield
    deadline = monotonic() + GRACE
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in left:
        thread.join(max(0.0, deadline - monotonic()))
    names = [thread.name for thread in left if thread.is_alive()]
    assert not names, f"threads left running: {', '.join(names)}"
    if descriptors() - opened:
        gc.collect()  # what only a cycle holds; an unclosed socket warns now, and a warning is an error
    extra = sorted(descriptors() - opened)
    assert not extra, f"descriptors left open: {extra}"
