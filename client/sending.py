"""What `submit` and `seal --submit` share: send everything that is ready, with progress.

Runs in: a party.   Believes: nothing that the gateway answers.   Spec: §8.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sealroom.client import choosing, submitting
from sealroom.client.home import Home
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.ui import Ui


def send(ui: Ui, home: Home, pinned: PinnedAgreement, names: Sequence[str] = ()) -> dict[str, Any]:
    """Send versions, statements and objects; returns what was sent.

    Raises:
        Waiting, UsageError, NotGenuine, Unreachable: as `submitting.everything`.
    """
    gateway = choosing.require_gateway(home)
    objects = submitting.ready(home, pinned.id, names)
    if objects:
        with ui.progress("sending", submitting.size_of(home, objects)) as progress:
            done = submitting.everything(home, gateway, pinned, names, progress)
    else:
        done = submitting.everything(home, gateway, pinned)
    return {key: list(value) for key, value in dataclasses.asdict(done).items()}
