"""What is mutated: admission, terms, grants, consent and ledger, each with the tests that belong to it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Unit:
    """A module by its path below the package, and test files."""

    module: str
    tests: tuple[str, ...]


_BROKER = ("tests/client_broker/test_broker.py",)
_LEDGER = ("tests/client_broker/test_ledger.py", "tests/client_broker/test_freezing.py")
UNITS = (
    Unit("enclave/gate/admit.py", ("tests/gate/test_admit.py",)),
    Unit("protocol/terms.py", ("tests/protocol/test_costs_and_sizes.py",)),
    Unit("client/admission.py", (*_BROKER, "tests/client_broker/test_runs.py", "tests/client_broker/test_receipt.py")),
    Unit("client/appraise.py", (*_BROKER, "tests/client_broker/test_receipt.py")),
    Unit("client/answers.py", (*_BROKER, "tests/client_broker/test_receipt.py")),
    Unit("client/grants.py", _BROKER),
    Unit("client/consent.py", (*_BROKER, "tests/client_broker/test_inbox.py")),
    Unit("client/entries.py", (*_LEDGER, "tests/client_broker/test_ledger_digests.py")),
    Unit("client/ledger.py", _LEDGER),
)
