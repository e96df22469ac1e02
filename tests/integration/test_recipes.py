"""The recipes of docs/messages.md, run as they stand there between two daemons."""

import re
import subprocess
import sys
from contextlib import ExitStack
from time import monotonic

from tests.integration.process import ROOT

WAIT = 15.0


def blocks(title):
    """Give the code blocks under a title, by kind."""
    page = (ROOT / "docs/messages.md").read_text(encoding="utf-8").partition(f"### {title}\n")[2]
    text = re.split("^##", page, maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def beside(daemon, directory):
    """Give the environment of a program on the machine of a daemon."""
    program = directory / "discoveryctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m discoveryd.ctl "$@"\n')
    program.chmod(0o755)
    address, port = daemon.query
    return {
        **daemon.environment,
        "PATH": f"{directory}:{daemon.environment['PATH']}",
        "DISCOVERYCTL_ADDRESS": f"{address}:{port}",
        "DISCOVERYCTL_TOKEN_FILE": f"{daemon.environment['DISCOVERYD_PATHS__RUNTIME']}/control.token",
    }


def test_a_signal_to_all_workers(make, observer, tmp_path):
    recipe = blocks("A signal to all workers")
    operator = make().run()
    worker = make(config="node:\n  tags: {role: worker}\n").run()
    for _ in range(2):
        observer.until("joined")
    with ExitStack() as stack:
        service = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", recipe["python"]], stdout=subprocess.PIPE, env=beside(worker, tmp_path))
        )
        stack.callback(service.kill)
        deadline = monotonic() + WAIT
        while monotonic() < deadline:  # until it listens
            sent = subprocess.run(
                ["sh", "-c", recipe["sh"]], env=beside(operator, tmp_path), capture_output=True, text=True, timeout=20, check=False
            )
            if sent.returncode == 0:
                break
        assert (sent.stdout, sent.stderr) == ("1 of 1 acked (1 suffice)\n", "")
        assert service.stdout.readline() == b"deploying v2 for node-2\n"
