"""After any history and then quiet each follower has the set of the site; none is told to be down who is not."""

import pytest

from discoveryd.protocol.sealed.keyring import NO_KEYS
from tests.sites.history import SEEDS, History
from tests.sites.world import KEYRING


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("keyring", [KEYRING, NO_KEYS], ids=["sealed", "plain"])
def test_any_history_and_then_quiet_gives_the_truth(seed, keyring):
    history = History(seed, keyring=keyring)
    history.play(40)
    assert history.problems == []
    history.heal()
    history.world.run(30)
    assert history.problems == []
    assert history.differences() == []
