"""What pyproject.toml cannot say: a README whose links work on the package index, and the commit that was built."""

import re
import sys
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
from discoveryd.files.commit import FILE, described  # noqa: E402 - there is no package to import before


class BuildPy(build_py):
    """Note the commit in what is built from a checkout; a source distribution is of a release."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode and (commit := described(str(ROOT))):
            Path(self.build_lib, FILE).write_text(f"{commit}\n", encoding="ascii")


def readme() -> str:
    """Return README.md with absolute links."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base = project["urls"]["Changelog"].rpartition("/")[0]
    return re.sub(r"\]\((?!https?:|#)", f"]({base}/", (ROOT / "README.md").read_text(encoding="utf-8"))


setup(long_description=readme(), long_description_content_type="text/markdown", cmdclass={"build_py": BuildPy})
