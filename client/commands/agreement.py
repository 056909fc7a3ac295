"""`sealroom agreement`: draft, sign, join, pin, show, compare.

Runs in: a party.   Believes: nothing before every signature was verified.   Spec: §4.
"""

from __future__ import annotations

import click

from sealroom.client import ui
from sealroom.client.commands import agreement_draft, agreement_show, agreement_sign


@click.group("agreement", params=ui.early_options(), epilog="\b\nExample:\n  sealroom agreement show --for-lawyers")
def command() -> None:
    """Draft, sign, show, compare and pin agreements.

    A draft is JSON that people read and edit. Signing makes a file with signatures, which goes round until everybody
    has signed; then each party pins it, by `import` or when it signs last.
    """


for _sub in (
    agreement_draft.new, agreement_sign.sign, agreement_sign.merge, agreement_sign.import_, agreement_show.show,
    agreement_show.diff_, agreement_draft.amend,
):  # fmt: skip
    command.add_command(_sub)
