"""What the tests of the configuration share."""

from pathlib import Path

import pytest
import yaml

import discoveryd.config
from discoveryd.config import load


@pytest.fixture(params=["c", "python"])
def parser(request, monkeypatch):
    """Both parsers of PyYAML: what a person reads must not depend on how it was built."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A file for hypothesis to write again and again."""
    return tmp_path_factory.mktemp("config") / "fuzzed.yaml"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Load a text as `c.yaml` of the current directory, so that messages have no path to vary."""
    monkeypatch.chdir(tmp_path)

    def load_text(content, **variables):
        data = content if isinstance(content, bytes) else content.encode()
        Path("c.yaml").write_bytes(data)
        return load("c.yaml", variables)

    return load_text


@pytest.fixture
def no_default(monkeypatch, tmp_path):
    monkeypatch.setattr(discoveryd.config, "DEFAULT_PATH", str(tmp_path / "absent.yaml"))
