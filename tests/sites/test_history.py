"""After any history and then quiet each follower has the set of the site; none is told to be down who is not."""

import os

import pytest

from discoveryd.protocol.sealed.keyring import NO_KEYS
from tests.sites.history import History
from tests.sites.world import KEYRING

SEEDS = int(os.environ.get("DISCOVERYD_SITES_SEEDS") or 3)
"""DISCOVERYD_SITES_SEEDS=300 is the long run."""


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("keyring", [KEYRING, NO_KEYS], ids=["sealed", "plain"])
def test_any_history_and_then_quiet_gives_the_truth(seed, keyring):
    history = History(seed, keyring=keyring)
    history.play(60)
    assert history.problems == []
    history.heal()
    history.world.run(30)
    assert history.problems == []
    assert history.differences() == []
