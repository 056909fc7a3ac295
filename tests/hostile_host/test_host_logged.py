"""The malicious host: what it says of its log, and what it leaves out of it."""

from __future__ import annotations

import pytest

from tests.hostile_host import table
from tests.hostile_host.case import Case, judge


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in table.selected("logged")])
def test_no_log_that_lies_gets_anything_released_wrongly(case: Case):
    judge(case, *table.expected()[case.name])
