"""Files that other people wrote and that no parser should be given: refused in our words, whatever reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sealroom.client import agreeing, card, config, fragment, keyfile, spec
from sealroom.client.demo import pair
from sealroom.protocol.errors import Malformed

DEEP_JSON = b'{"a":' * 5000 + b"}" * 5000
DEEP_TOML = b"a = " + b"[" * 5000 + b"]" * 5000
ODD_EPSILONS = (b"[overlap]\nepsilon = 1e999999999\n", b"epsilon = 1e" + b"9" * 40)
LONG_NUMBER = b"a = " + b"9" * 5000


def merged(path: Path) -> Any:
    return fragment.merge(spec.parse({"datasets": {"people": {"owner": "bank", "id": "id"}}}), path)


READERS: dict[str, tuple[Callable[[Path], Any], tuple[bytes, ...]]] = {
    "agreement.json": (agreeing.read, (DEEP_JSON,)),
    "card.json": (card.load, (b"[" * 8000,)),
    "home.json": (config.load, (b"[" * 8000,)),
    "columns.json": (merged, (DEEP_JSON,)),
    "signing.key": (lambda path: keyfile.load(path, "signing"), (b"[" * 8000,)),
    "spec.json": (spec.load, (DEEP_JSON, b'{"days": 1e99999999999999999999}')),
    "spec.toml": (spec.load, (DEEP_TOML, LONG_NUMBER, b"a." * 5000 + b"a = 1", *ODD_EPSILONS)),
    "policy.json": (spec.read_policy, (DEEP_JSON,)),
    "pair.toml": (pair.load, (DEEP_TOML, LONG_NUMBER)),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_made_to_break_its_parser_is_refused(tmp_path: Path, name: str) -> None:
    read, contents = READERS[name]
    path = tmp_path / name
    for content in contents:
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(Malformed):
            read(path)


@pytest.mark.parametrize("epsilon", ["1e10", "9e999999", "-1e20", "nan", "inf"])
def test_an_epsilon_beyond_any_agreement_is_refused_before_it_is_computed_with(tmp_path: Path, epsilon: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(f"[overlap]\nepsilon = {epsilon}\n[datasets.people]\nowner = 'bank'\nid = 'id'\n")
    with pytest.raises(Malformed) as refusal:
        spec.load(path)
    assert refusal.value.code == "E1.bad-epsilon"
