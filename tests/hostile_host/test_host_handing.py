"""The malicious host: what it hands to the gate."""

from __future__ import annotations

import pytest

from tests.hostile_host import table
from tests.hostile_host.case import Case, judge


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in table.selected("handing")])
def test_nothing_is_released_wrongly_and_every_state_is_clear(case: Case):
    judge(case, *table.expected()[case.name])
