"""Each example of docs/embedding.md does what the page says, beside a real daemon with a peer."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netns.daemons import asking, names, until
from tests.netns.lab import Lab, why_not

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/embedding.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
PRINTED = {
    "client": r"b 10\.77\.0\.2 heard \d\.\d s ago\nevent \w+\n",
    "register": "registered True\n",
    "asyncio": r"\['b'\]\n(\w+ b\n)*followed\n",
    "node": r"UDP port 3400 is taken by .*: a daemon runs here, so take Client\n",
    "multiprocessing": r"\[\['b'\], \['b'\]\]\n",
}
ELSEWHERE = {"engine", "aiohttp", "gunicorn"}
"""Examples that need no daemon, or another program: tests/consumers."""


def test_every_example_is_run():
    assert EXAMPLES.keys() == PRINTED.keys() | ELSEWHERE
    assert PAGE.count("```python") == len(EXAMPLES)


def test_the_engine_alone():
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES["engine"]], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "joined anna 10.0.0.1\n"


@pytest.mark.netns
def test_the_examples_beside_a_daemon(tmp_path):
    reason = why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI must not skip this: {reason}")
    elif reason:
        pytest.skip(reason)
    with Lab() as lab:
        a, b = lab.host("a", address="10.77.0.1/24"), lab.host("b", address="10.77.0.2/24")
        b.discoveryd(env={"DISCOVERYD_NODE__TAGS": "{role: gpu}"})
        with asking(b) as on_b:
            until(on_b, names())
            printed = a.python(EXAMPLES["node"]).stdout  # there is no daemon here yet
            assert re.fullmatch(r"\[('b')?\] \w+\n", printed), printed
            a.discoveryd()
            until(on_b, lambda peers: [peer["name"] for peer in peers] == ["a"])
        with asking(a) as on_a:
            until(on_a, lambda peers: [peer["tags"] for peer in peers] == [{"role": "gpu"}])
        for name, pattern in PRINTED.items():
            program = tmp_path / f"example_{name}.py"
            program.write_text(EXAMPLES[name])
            printed = a.run(sys.executable, str(program)).stdout
            assert re.fullmatch(pattern, printed), f"{name}: {printed}"
