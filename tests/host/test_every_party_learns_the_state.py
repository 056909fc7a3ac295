"""What the specification and the page for lawyers say of a run's state: every party of its agreement learns it."""

from __future__ import annotations

from typing import Any

import pytest

MEMBERS = ("bank", "partner", "compliance")


@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_sees_who_asked_and_how_far_a_run_is(gateway: Any, member: str) -> None:
    g, run = gateway, gateway.start()
    seen = g.call.ok(member, "GET", f"/runs/{run}")
    assert (seen["state"], seen["waiting_for"]) == ("waiting-for-challenges", ["bank", "partner"])
    listed = g.call.ok(member, "GET", f"/runs?agreement={g.agreement}")["runs"]
    assert [(line["run"], line["state"]) for line in listed] == [(run, "waiting-for-challenges")]
    g.call.ok("bank", "POST", f"/runs/{run}/stop")
    assert g.call.ok(member, "GET", f"/runs/{run}")["state"] == "stopped"


def test_nobody_else_sees_that_there_is_a_run(gateway: Any, helpers: Any) -> None:
    g, run = gateway, gateway.start()
    assert helpers.code(g.call("stranger", "GET", f"/runs/{run}"))[0] in (401, 403, 404)
