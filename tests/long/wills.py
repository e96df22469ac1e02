"""The long bar of the last will, run by tests/long/run.py: pytest does not find a file of this name by itself."""

import subprocess
import sys
from pathlib import Path


def test_one_killed_each_second_is_seen_in_time():
    script = Path(__file__).parents[1] / "benchmarks" / "wills.py"
    done = subprocess.run([sys.executable, script, "--seconds", "60"], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
