"""Run every benchmark, one after the other, and print one table in Markdown for docs/figures.md.

Needs root (network namespaces) and a machine that does nothing else; takes about thirteen minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from installation import installed
from machine import markdown, parser

INSTALLED = ("start", "ctl", "footprint", "crowd")
"""These measure processes of an installed package; the others what is inside one, out of this checkout."""
ALONE = ("list", "large", "receive", "interfaces", "serf")


def main() -> int:
    """Run them all; 1 if a target is missed, or one of them failed."""
    made = parser(__doc__, runs=0, environment=True)
    made.set_defaults(runs=None)
    options = made.parse_args()
    figures: list[dict[str, Any]] = []
    machines, failed = [], []
    with installed(options.python) as scripts:
        for name in (*INSTALLED, *ALONE):
            argv = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), "--json"]
            argv += ["--runs", str(options.runs)] if options.runs else []
            argv += ["--python", str(scripts / "python")] if name in INSTALLED else []
            print(f"{name} ...", file=sys.stderr, flush=True)
            done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
            try:
                found = json.loads(done.stdout)
            except json.JSONDecodeError:  # it ended before its end; what the others measured is printed all the same
                print(f"{name} failed", file=sys.stderr)
                failed.append(name)
                continue
            figures += found["figures"]
            machines.append(found["machine"])
    if not figures:
        return 1
    if failed:  # a table without their rows would look whole
        print(f"not measured, since they failed: {', '.join(failed)}", file=sys.stderr)
    print(
        json.dumps({"machine": machines[-1], "figures": figures})
        if options.json
        else f"{machines[-1]}\n\n{markdown(figures)}"
    )
    return int(bool(failed) or any(figure["met"] is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
