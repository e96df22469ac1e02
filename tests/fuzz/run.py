"""Fuzz one target, led by coverage: ``python tests/fuzz/run.py TARGET --runs N [--corpus DIR]``.

Needs atheris (``pip install discoveryd[fuzz]``). What it finds is left in the working directory as ``crash-...``: mend
what is wrong, and add the file to ``tests/fuzz/corpus``, which plain pytest replays.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CORPUS = Path(__file__).resolve().parent / "corpus"
LONGEST = {"datagrams": 1100, "lines": 4200, "configs": 4200, "sealed": 1100, "questions": 1300}
"""Bytes; a little more than what is taken. A configuration is at most 64 KiB, but seldom more than a few lines."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=LONGEST)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", help="where what covers something new is kept, to go on with another day")
    chosen = parser.parse_args()
    import atheris

    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["discoveryd", "dnslib"]):
        from tests.fuzz.targets import DICTIONARIES, TARGETS

        TARGETS[chosen.target](b"")  # what it imports when first used is to be led by, too
    with tempfile.TemporaryDirectory() as scratch:
        words = Path(scratch) / "words"
        words.write_text("".join(f'"{escaped(word)}"\n' for word in DICTIONARIES[chosen.target]))
        grown = Path(chosen.corpus or scratch) / "grown"
        grown.mkdir(parents=True, exist_ok=True)
        seeds = Path(scratch) / "seeds"
        seeds.mkdir()
        for number, path in enumerate(path for path in sorted((CORPUS / chosen.target).rglob("*")) if path.is_file()):
            (seeds / str(number)).write_bytes(path.read_bytes())
        arguments = [
            sys.argv[0], f"-runs={chosen.runs}", f"-seed={chosen.seed}", f"-max_len={LONGEST[chosen.target]}",
            f"-dict={words}", "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1", str(grown), str(seeds),
        ]  # fmt: skip
        atheris.Setup(arguments, TARGETS[chosen.target])
        atheris.Fuzz()


def escaped(word):
    """Write bytes as libFuzzer's dictionaries have them."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
