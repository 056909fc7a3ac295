"""An owner gives no key to an enclave that was started without a layer of confinement which its launcher requires."""

from __future__ import annotations

import pytest

from sealroom.client import collect, launched, receipt
from sealroom.protocol import canonical, confinement, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.errors import Malformed, NotAcceptable
from tests import parties
from tests.client_broker.world import World

EVERY = [(launcher, layer) for launcher, layers in confinement.REQUIRED.items() for layer in layers]


def configuration(launcher, layers, **more):
    return canonical.encode({"launcher": launcher, "layers": sorted(layers), **more})


@pytest.fixture(scope="module")
def agreement():
    members = {name: parties.Member.make(name) for name in ("bank", "partner", "operator")}
    return schema.decode(Agreement, parties.agreement_json(members))


def refused(error, data, agreement):
    with pytest.raises(error) as caught:
        launched.check(data, agreement)
    return caught.value


@pytest.mark.parametrize("launcher", list(confinement.REQUIRED))
def test_a_launcher_with_all_of_its_layers_and_more_is_accepted_and_all_are_named(agreement, launcher):
    layers = [*confinement.REQUIRED[launcher], "something-newer"]
    found = launched.check(configuration(launcher, layers, limits={"pids": 1}), agreement)
    assert (found.launcher, found.layers) == (launcher, tuple(sorted(layers)))


@pytest.mark.parametrize(("launcher", "layer"), EVERY)
def test_one_layer_that_is_missing_is_named_with_what_it_is_for(agreement, launcher, layer):
    rest = [name for name in confinement.REQUIRED[launcher] if name != layer]
    error = refused(NotAcceptable, configuration(launcher, rest), agreement)
    assert error.code == "E3.missing-layer"
    assert f"without the layer {layer}" in error.message
    assert confinement.REQUIRED[launcher][layer] in error.hint


def test_layers_of_the_other_launcher_do_not_count(agreement):
    error = refused(NotAcceptable, configuration("docker", confinement.REQUIRED["process"]), agreement)
    assert error.code == "E3.missing-layer"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "E3.launcher"),
        (b"{}", "E3.launcher"),
        (b"[]", "E3.launcher"),
        (configuration("bare", []), "E3.launcher"),
        (configuration("process", []), "E3.missing-layer"),
        (b'{"launcher":"process"}', "E1.launch-configuration"),
        (b'{"launcher":"process","layers":"seccomp"}', "E1.launch-configuration"),
        (b'{"launcher":"process","layers":[1]}', "E1.launch-configuration"),
        (b'{"launcher":"process", "layers":[]}', "E1.launch-configuration"),
        (b'{"launcher":"bare","launcher":"process"}', "E1.launch-configuration"),
        (b"\xff", "E1.launch-configuration"),
        (b" " * (launched.MOST_BYTES + 1), "E1.launch-configuration"),
    ],
    ids=range(12),
)
def test_what_says_nothing_of_use_is_refused(agreement, data, code):
    assert refused((Malformed, NotAcceptable), data, agreement).code == code


def test_a_launcher_that_was_not_agreed_is_refused_whatever_its_layers(agreement):
    members = {name: parties.Member.make(name) for name in ("bank", "partner", "operator")}
    only_docker = schema.decode(Agreement, parties.agreement_json(members, launchers=["docker"]))
    assert refused(NotAcceptable, parties.LAUNCH, only_docker).code == "E3.launcher"


def test_a_broker_gives_no_key_when_a_layer_is_missing(tmp_path):
    world = World(tmp_path)
    held = world.gateway.run_store[world.ask()]
    world.step()
    layers = set(confinement.REQUIRED["process"]) - {"no-core-dumps"}
    world.make_gate().launch = configuration("process", layers)
    world.gateway.gate.attest(held)
    events = world.step("partner")["partner"]
    assert [event.error.code for event in events if event.error is not None] == ["E3.missing-layer"]
    assert world.posts("grant") == []


def test_a_receipt_says_who_started_the_enclave_with_which_layers(tmp_path):
    world = World(tmp_path)
    run = world.ask()
    world.play()
    found = collect.collect(world.homes["bank"], world.gateway, run).verified
    assert found.accepted.launched.layers == tuple(sorted(confinement.REQUIRED["process"]))
    (line,) = [line for line in receipt.explain(found) if line.startswith("started by: ")]
    assert line == f"started by: process, with {', '.join(sorted(confinement.REQUIRED['process']))}"
