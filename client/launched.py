"""How the enclave was started, as the platform stated before it started: the launcher, and the layers around it.

Runs in: a party.   Believes: a launch configuration that appraised evidence binds (HOST_DATA).   Spec: §11.
"""

from __future__ import annotations

import dataclasses

from sealroom.protocol import canonical, confinement
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.confinement import Launcher
from sealroom.protocol.errors import Malformed, NotAcceptable

MOST_BYTES = 1 << 17


@dataclasses.dataclass(frozen=True, slots=True)
class Launched:
    """A launcher that was agreed, and every layer that the platform says it put in force."""

    launcher: Launcher
    layers: tuple[str, ...]


def check(configuration: bytes | None, agreement: Agreement) -> Launched:
    """The launcher and its layers, if the agreement allows the one and none of the others is missing.

    Raises:
        Malformed: the configuration is not canonical JSON, or its layers are no list of names.
        NotAcceptable: there is none, another launcher was used, or a required layer is not in force.
    """
    if configuration is None:
        hint = "agree on a platform policy whose `launch_configuration` is not `any`, and on a platform that binds one"
        raise NotAcceptable("launcher", "the evidence does not say how the enclave was launched", hint=hint)
    found = _decoded(configuration)
    launcher = found.get("launcher")
    if launcher not in agreement.launchers:
        allowed = ", ".join(agreement.launchers)
        raise NotAcceptable("launcher", f"the enclave was not launched by {allowed}, as was agreed")
    layers = found.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
        raise Malformed("launch-configuration", "the launch configuration does not list its layers of confinement")
    if lacking := confinement.missing(launcher, layers):
        hint = f"the operator must start it with: {'; '.join(confinement.REQUIRED[launcher][name] for name in lacking)}"
        message = f"the {launcher} launcher started the enclave without the layer {', '.join(lacking)}"
        raise NotAcceptable("missing-layer", message, hint=hint)
    return Launched(launcher, tuple(sorted(layers)))


def _decoded(configuration: bytes) -> dict[str, object]:
    try:
        value = canonical.decode(configuration, most=MOST_BYTES)
    except Malformed as error:
        raise Malformed("launch-configuration", f"the launch configuration: {error.message}") from error
    return value if isinstance(value, dict) else {}
