"""A platform policy states everything; nothing about it is implied."""

from __future__ import annotations

import dataclasses

import pytest

from sealroom.protocol.errors import Malformed
from sealroom.protocol.platform import PlatformPolicy, SnpPolicy, SnpTcb, simulated_policy
from sealroom.protocol.schema import decode, encode

GOOD = encode(simulated_policy("ab" * 32))
FIELDS = [f.name for f in dataclasses.fields(SnpPolicy)]


def test_a_policy_survives_writing_and_reading():
    assert decode(PlatformPolicy, GOOD) == simulated_policy("ab" * 32)


@pytest.mark.parametrize("name", FIELDS)
def test_a_policy_without_one_of_its_fields_does_not_load(name):
    with pytest.raises(Malformed) as refusal:
        decode(SnpPolicy, {k: v for k, v in GOOD.items() if k != name})
    assert refusal.value.code == "E1.missing-field"


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, "", "some", True, -1, [], {}, 2**60])
def test_a_policy_with_a_field_that_means_nothing_does_not_load(name, value):
    with pytest.raises(Malformed):
        decode(SnpPolicy, {**GOOD, name: value})


def test_unknown_fields_do_not_load():
    with pytest.raises(Malformed) as refusal:
        decode(SnpPolicy, {**GOOD, "extra": "any"})
    assert refusal.value.code == "E1.unknown-field"


@pytest.mark.parametrize("part", ["fmc", "bootloader", "tee", "snp", "microcode"])
@pytest.mark.parametrize("family", ["milan", "genoa", "turin"])
def test_every_floor_is_spelled_out(family, part):
    floors = {name: dict(floor) for name, floor in GOOD["minimum_tcb"].items()}
    del floors[family][part]
    with pytest.raises(Malformed):
        decode(SnpPolicy, {**GOOD, "minimum_tcb": floors})


@pytest.mark.parametrize("family", ["milan", "genoa"])
def test_a_floor_that_a_family_does_not_have_does_not_load(family):
    policy = simulated_policy("ab" * 32)
    floor = SnpTcb(fmc=1, bootloader=0, tee=0, snp=0, microcode=0)
    with pytest.raises(Malformed) as refusal:
        dataclasses.replace(policy, minimum_tcb=dataclasses.replace(policy.minimum_tcb, **{family: floor}))
    assert refusal.value.code == "E1.no-fmc"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("roots", ["ab" * 32, "ab" * 32]),
        ("families", ["milan", "milan"]),
        ("key_kinds", ["vcek", "vcek"]),
        ("chip_ids", ["ab" * 64, "ab" * 64]),
        ("id_keys", ["ab" * 48, "ab" * 48]),
    ],
)
def test_a_list_that_repeats_itself_does_not_load(name, value):
    with pytest.raises(Malformed) as refusal:
        decode(SnpPolicy, {**GOOD, name: value})
    assert refusal.value.code == "E1.repeated"


def test_the_simulated_policy_names_the_class_and_one_root():
    policy = simulated_policy("ab" * 32)
    assert (policy.platform_class, policy.roots) == ("simulated", ("ab" * 32,))
