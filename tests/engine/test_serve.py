"""The engine as a process of its own, confined before it takes a table."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from sealroom.enclave import frames
from sealroom.enclave.jail import layers
from tests.engine import small
from tests.engine.test_service import Gate, point

_START = "import sys; from sealroom.enclave.engine import serve; serve.main(int(sys.argv[1]))"


def test_the_confined_engine_still_links_noises_and_hands_over() -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", _START, str(theirs.fileno())]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], env={}) as process:
        theirs.close()
        ready, _ = frames.receive(ours, timeout=120)
        assert ready["ready"] is True
        assert set(layers.BASE) <= set(ready["layers"])
        gate = Gate(ours)
        gate.load_both()
        found = gate.run(point, rules=["overlap", "audience", "cells"])
        assert [item.get("release") for item in found] == ["overlap", "audience", "cells", None]
        assert abs(json.loads(found[0]["canonical"])["count"] - 40) <= 5
        ours.close()
        assert process.wait(60) == 0
    assert small.OUTCOME.positive == "yes"
