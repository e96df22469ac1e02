"""The clock of a simulated network."""

import pytest

from tests.simulation.medium import Medium


@pytest.fixture
def medium(request):
    """Return a clock at 0, seeded by the name of the test."""
    return Medium(request.node.name)
