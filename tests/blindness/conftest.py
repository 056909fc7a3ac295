"""One zygote for all runs that are compared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.jail.zygotes import Zygote, zygote


@pytest.fixture(scope="session")
def jailer() -> Iterator[Zygote]:
    with zygote() as started:
        yield started
