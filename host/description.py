"""What the gateway's OpenAPI description says of every call beyond what its route declares: signature, early answers.

Runs in: host.   Believes: nothing.   Spec: §8.1, §8.2.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

UNSIGNED: Final = frozenset({"/v1/health", "/v1/ready", "/v1/openapi.json"})
"""Calls that take no signature: they say the same to everybody, and nothing about any party, agreement or run."""
_SCHEMES: Final[dict[str, dict[str, str]]] = {
    "signature": {
        "type": "apiKey", "in": "header", "name": "Signature",
        "description": "RFC 9421, Ed25519, by the key that `keyid` names; over the base of Signature-Input.",
    },
    "signature-input": {
        "type": "apiKey", "in": "header", "name": "Signature-Input",
        "description": 'Components `("@method" "@authority" "@target-uri" "content-digest")`; parameters created, nonce'
        ' (16 or more random bytes as text), keyid (the signing key as base64url), alg="ed25519" if given, and'
        ' tag="sealroom-v1". A message counts once, and for a minute.',
    },
    "content-digest": {
        "type": "apiKey", "in": "header", "name": "Content-Digest",
        "description": "RFC 9530: `sha-256` of the body, also of an empty one.",
    },
}  # fmt: skip
_EARLY: Final = {
    "400": "no HTTP/1.1 message, or a declared length that is no number",
    "503": "too many connections, or not ready; try again in a moment",
}


def describe(app: FastAPI) -> None:
    """Have the description name the signature as its security scheme, and the answers that come before any route's."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain())
        return plain()

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI documents it


def _complete(schema: dict[str, Any]) -> None:
    schema["components"]["securitySchemes"] = _SCHEMES
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            operation["security"] = [] if path in UNSIGNED else [{name: [] for name in _SCHEMES}]
            for status, words in _EARLY.items():
                operation["responses"].setdefault(status, {"description": words, "content": error})
