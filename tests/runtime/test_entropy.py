"""Random numbers drawn many at once."""

import os

from discoveryd.runtime.entropy import DRAWN, BufferedRandom


def test_no_number_is_given_twice():
    random = BufferedRandom()
    assert len({random.getrandbits(64) for _ in range(5 * DRAWN // 8)}) == 5 * DRAWN // 8


def test_numbers_have_the_bits_asked_for():
    random = BufferedRandom()
    for bits in (0, 1, 7, 8, 53, 64, 128):
        found = [random.getrandbits(bits) for _ in range(300)]
        assert 0 <= min(found) <= max(found) < 2**bits
        assert not bits or max(found) >= 2 ** (bits - 1)
    assert len(random.randbytes(2 * DRAWN)) == 2 * DRAWN


def test_what_python_makes_of_them_is_in_its_range():
    random = BufferedRandom()
    found = [random.uniform(2.0, 3.0) for _ in range(2000)]
    assert 2.0 <= min(found) < 2.1
    assert 2.9 < max(found) <= 3.0
    assert set(random.choices("abc", k=300)) == set("abc")


def test_the_system_is_asked_seldom(monkeypatch):
    asked = []
    urandom = os.urandom
    monkeypatch.setattr(os, "urandom", lambda size: asked.append(size) or urandom(size))
    random = BufferedRandom()
    asked.clear()
    for _ in range(1000):
        random.getrandbits(64)
    assert len(asked) <= 1 + 8000 // DRAWN


def test_a_fork_draws_its_own():
    random = BufferedRandom()
    random.getrandbits(8)
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, random.randbytes(16))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 16) != random.randbytes(16)
    os.close(read)
    os.close(write)
