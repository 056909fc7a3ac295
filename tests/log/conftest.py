"""A played run whose end the log holds."""

from __future__ import annotations

import pytest

from tests.client_broker.world import World


@pytest.fixture
def played(tmp_path):
    """The parties, and the run's digest."""
    world = World(tmp_path)
    run = world.ask("overlap")
    world.play()
    return world, run
