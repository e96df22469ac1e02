"""The shipped files are found, from a checkout and from an installed wheel."""

import os
import sys
import tomllib
from pathlib import Path

import pytest

from discoveryd.files import directories

ROOT = Path(__file__).parents[2]


def test_a_checkout_serves_its_own_files():
    assert Path(directories.shipped("config/discoveryd.yaml")) == ROOT / "config/discoveryd.yaml"


@pytest.mark.parametrize("prefix", ["venv", "elsewhere"])
def test_an_installed_wheel_serves_what_is_under_share(tmp_path, monkeypatch, prefix):
    monkeypatch.setattr(directories, "PACKAGE", str(tmp_path / "venv/lib/python3.11/site-packages/discoveryd"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "elsewhere"))
    sample = tmp_path / prefix / "share/discoveryd/config/discoveryd.yaml"
    sample.parent.mkdir(parents=True)
    sample.write_text("")
    assert directories.shipped("config/discoveryd.yaml") == str(sample)


def test_a_missing_file_is_told_with_where_it_was_looked_for():
    with pytest.raises(FileNotFoundError, match=r"config/nothing of discoveryd is missing, looked for at /.*share"):
        directories.shipped("config/nothing")


def test_all_of_config_goes_into_the_wheel():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    for target, files in named.items():
        for file in files:
            assert list(ROOT.glob(file))
            assert target == os.path.normpath(f"share/discoveryd/{Path(file).parent}")
    assert {file.relative_to(ROOT).as_posix() for file in (ROOT / "config").rglob("*") if file.is_file()} <= {
        file for files in named.values() for file in files
    }
