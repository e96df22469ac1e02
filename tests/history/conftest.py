import pytest

from tests.history.past import Past


@pytest.fixture
def begin(tmp_path):
    """Return a function that begins a run in the file of this test; all are closed at the end."""
    opened = []

    def begin(**given):
        opened.append(Past(tmp_path / "history.db", **given))
        return opened[-1]

    yield begin
    for past in opened:
        past.store.close()


@pytest.fixture
def past(begin):
    return begin()
