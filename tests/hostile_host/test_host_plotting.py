"""The malicious host: what takes more than one message."""

from __future__ import annotations

import pytest

from tests.hostile_host import table
from tests.hostile_host.case import Case, judge


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in table.TABLES["plotting"]])
def test_no_plot_releases_anything_wrongly(case: Case):
    judge(case, *table.expected()[case.name])
