"""What the import of nats-py brings along, and what it loads once it is needed; each in a process of its own."""

import subprocess
import sys

BEGIN = "import sys, discoveryd.sites.nats, nats.aio.client as client; "


def run(code):
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_sites_do_not_use_is_not_loaded():
    assert run("print(*sorted({'nats.js.api', 'nats.js.client', 'importlib.metadata'} & set(sys.modules)))") == []


def test_what_is_used_all_the_same_is_there():
    assert run(
        "import importlib.metadata; print(client.nats.js.api.Header.STATUS.value, client.nats.js.JetStreamContext.__name__,"
        " importlib.metadata.version('nats-py') > '', sys.modules['nats.js'] is client.nats.js)"
    ) == ["Status", "JetStreamContext", "True", "True"]


def test_a_library_that_is_there_already_stays_as_it_is():
    code = "import nats.js, importlib.metadata, discoveryd.sites.nats, sys; print(sys.modules['nats.js'] is nats.js, nats.js.__file__ > '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True"]
