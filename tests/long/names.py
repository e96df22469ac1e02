"""The long bar of names, run by tests/long/run.py: pytest does not find a file of this name by itself."""

import subprocess
import sys
from pathlib import Path


def test_two_thousand_questions_a_second_keep_no_list_waiting():
    script = Path(__file__).parents[1] / "benchmarks" / "names.py"
    done = subprocess.run([sys.executable, script, "--seconds", "20"], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
