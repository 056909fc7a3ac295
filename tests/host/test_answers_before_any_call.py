"""What a connection is answered before a call of it is read: no HTTP, too many connections, old TLS, no signature."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from sealroom.host import app, description, server, tls
from sealroom.host.settings import Settings
from sealroom.host.store import open_store
from sealroom.protocol.keys import to_text


@contextlib.contextmanager
def serving(folder: Path, **changes: Any) -> Iterator[int]:
    """A gateway's server in a thread, on the port that is yielded; `changes` to uvicorn's settings."""
    settings = Settings(
        home=folder, operator_key=to_text(bytes(32)), public_url="https://127.0.0.1", listen_host="127.0.0.1",
        listen_port=0,
    )  # fmt: skip
    now = dt.datetime.now(dt.UTC)
    tls.create(certificate=settings.certificate, key=settings.private_key, url=settings.url, now=now)
    store = open_store(folder, most=1 << 30, changed=lambda: None)
    config = server._config(settings, app.create(settings, store))
    for name, value in changes.items():
        setattr(config, name, value)
    running = uvicorn.Server(config)
    bound = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield int(bound.getsockname()[1])
    finally:
        running.should_exit = True
        thread.join(20)
        bound.close()
        store.close()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp("home")) as found:
        yield found


def connect(port: int, **versions: ssl.TLSVersion) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, version in versions.items():
        setattr(context, name, version)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20))


def answered(sock: ssl.SSLSocket, data: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and decoded body of the answer; the server must close the connection after it."""
    sock.sendall(data)
    whole = b""
    while part := sock.recv(1 << 16):
        whole += part
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, json.loads(body)


HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: gateway.test\r\n"
MALFORMED = {
    "another protocol": b"\x16\x03\x01\x02\x00\r\n\r\n",
    "no request line": b"hello\r\n\r\n",
    "a space in a header's name": HEALTH + b"Bad Name: 1\r\n\r\n",
    "two lengths": b"PUT /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length that is no number": b"PUT /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n",
    "no host": b"GET /v1/health HTTP/1.1\r\n\r\n",
    "headers without end": HEALTH + b"X: " + b"a" * (40 << 10),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_http_is_answered_in_the_one_shape_and_closed(port: int, data: bytes) -> None:
    with connect(port) as sock:
        status, headers, body = answered(sock, data)
    assert status in (400, 501)
    assert set(body) == {"error"}
    assert (set(body["error"]), body["error"]["code"]) == ({"code", "message", "hint"}, "malformed-http")
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")


def test_a_connection_beyond_the_limit_is_answered_in_the_one_shape(tmp_path: Path) -> None:
    with serving(tmp_path, limit_concurrency=2) as port, contextlib.ExitStack() as stack:
        first, second, third = (stack.enter_context(connect(port)) for _ in range(3))
        for sock in (first, second):  # so that the server has taken both
            sock.sendall(HEALTH + b"\r\n")
            sock.recv(1 << 16)
        status, headers, body = answered(third, HEALTH + b"\r\n")
        assert (status, body["error"]["code"], headers["connection"]) == (503, "busy", "close")
        assert set(body["error"]) == {"code", "message", "hint"}


def test_with_room_again_calls_are_answered(tmp_path: Path) -> None:
    with serving(tmp_path, limit_concurrency=1) as port:
        for _ in range(3):
            with connect(port) as sock:
                status, _, body = answered(sock, HEALTH + b"Connection: close\r\n\r\n")
            assert (status, body) == (200, {"status": "ok"})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2], ids=lambda version: version.name)
def test_tls_below_1_3_is_refused(port: int, version: ssl.TLSVersion) -> None:
    # Some versions of Python get to read the alert, others find the connection closed.
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol|closed"):
        connect(port, maximum_version=version)
    with connect(port) as sock:
        assert sock.version() == "TLSv1.3"


def test_plain_http_gets_no_answer(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(HEALTH + b"\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in sock.recv(1 << 16)


def test_every_call_but_those_that_say_the_same_to_everybody_must_be_signed(gateway: Any, helpers: Any) -> None:
    client = gateway.call.client
    paths = client.get("/v1/openapi.json").json()["paths"]
    open_ = set()
    for path, methods in paths.items():
        for method in methods:
            answer = client.request(method.upper(), path.replace("{", "").replace("}", ""))
            if answer.status_code in (200, 503):
                open_.add(path)
            else:
                assert helpers.code(answer)[0] == 401, path
    assert open_ | {"/v1/openapi.json"} == description.UNSIGNED


def test_the_description_names_the_signature_as_its_security_scheme(gateway: Any) -> None:
    text = gateway.call.client.get("/v1/openapi.json").json()
    schemes = text["components"]["securitySchemes"]
    assert {scheme["name"] for scheme in schemes.values()} == {"Signature", "Signature-Input", "Content-Digest"}
    for path, methods in text["paths"].items():
        for call in methods.values():
            signed = path not in description.UNSIGNED
            assert call["security"] == ([{name: [] for name in schemes}] if signed else []), path
            assert {"400", "503"} <= set(call["responses"]), path


def test_the_description_is_the_same_each_time(gateway: Any) -> None:
    first, second = (gateway.call.client.get("/v1/openapi.json").content for _ in range(2))
    assert first == second


def test_a_declared_length_that_is_no_number_is_in_the_description(gateway: Any, helpers: Any) -> None:
    request = gateway.call.sign("bank", "POST", "/v1/runs", b"{}")
    request.headers["content-length"] = "ten"
    assert helpers.code(gateway.call.client.send(request)) == (400, "bad-length")
    described = gateway.call.client.get("/v1/openapi.json").json()["paths"]["/v1/runs"]["post"]["responses"]
    assert "length" in described["400"]["description"]
