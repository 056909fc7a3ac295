"""The operator's command: `sealroom-host init | serve | status | health | prune | backup | restore`.

Runs in: host.   Believes: the operator.   Spec: §8.2.   Data on stdout, talk on stderr.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import socket
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from sealroom.host import settings, tls, upkeep
from sealroom.host.backup import BackupError
from sealroom.host.settings import BadSettings, Settings
from sealroom.host.store.errors import StoreError

_HOME = click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), required=True, help="The operator's folder."
)
_FILE = click.Path(path_type=Path, dir_okay=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(epilog="Example: sealroom-host init --home host --operator-key KEY && sealroom-host serve --home host")
def cli() -> None:
    """Operate a Sealroom gateway: it carries ciphertext, launches enclaves, and can read nothing."""


@cli.command()
@_HOME
@_JSON
@click.option("--operator-key", required=True, help="Public signing key that may register agreements.")
@click.option("--listen", default="127.0.0.1:8443", show_default=True, help="HOST:PORT; port 0 picks a free one.")
@click.option("--public-url", default="", help="https://HOST[:PORT] as parties reach it, if that differs.")
@click.option("--launcher", type=click.Choice(["process", "docker"]), default="process", show_default=True)
@click.option("--image", default="", help="Image folder (process), or image id sha256:... (docker).")
@click.option("--processor", "processor_socket", default="", help="Socket of the simulated secure processor.")
@click.option("--database", default="", help="postgresql://... without a password; default: a file in the home.")
@click.option("--docker-engine", default="unix:///var/run/docker.sock", show_default=True, help="The engine's socket.")
def init(home: Path, listen: str, *, as_json: bool, **values: Any) -> None:
    """Make a home: settings, and a TLS key with a certificate that parties pin."""
    host, port = _address(listen)
    home = home.resolve()
    made = Settings(home=home, listen_host=host, listen_port=port, **values)
    upkeep.require_empty(made.database)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    tls.create(certificate=made.certificate, key=made.private_key, url=made.url, now=dt.datetime.now(dt.UTC))
    settings.save(made)
    _print(_card(made), as_json=as_json)


@cli.command()
@_HOME
@click.option("--listen", default=None, help="HOST:PORT instead of the setting.")
@click.option("--launcher", type=click.Choice(["process", "docker"]), default=None)
@click.option("--image", default=None, help="Image folder or image id instead of the setting.")
@click.option("--processor", "processor_socket", default=None, help="Socket of the simulated secure processor.")
def serve(home: Path, listen: str | None, **flags: Any) -> None:
    """Serve gateway and run queue until SIGTERM; one line of JSON on stdout says when calls are taken."""
    if listen is not None:
        flags["listen_host"], flags["listen_port"] = _address(listen)
    from sealroom.host import server  # noqa: PLC0415 (the other commands need not wait for its imports)

    used = settings.load(home.resolve(), **flags)
    ready = json.dumps({"format": "sealroom/host-ready/v1", "ready": True, **_card(used)})
    server.serve(used, ready=lambda: click.echo(ready))


@cli.command()
@_HOME
@_JSON
def status(home: Path, *, as_json: bool) -> None:
    """Count what is stored; works while the gateway runs."""
    from sealroom.host.store import open_store  # noqa: PLC0415

    used = settings.load(home.resolve())
    store = open_store(used.home, most=used.store_most, database=used.database, resume=False)
    rows = store.database.all("SELECT state FROM runs")
    states = dict(sorted(Counter(row["state"] for row in rows).items()))
    counts = {
        "agreements": store.database.number("SELECT count(DISTINCT agreement) FROM agreements"),
        "objects": store.database.number("SELECT count(*) FROM objects"),
        "receipts": store.database.number("SELECT count(*) FROM runs WHERE receipt IS NOT NULL"),
    }
    store.close()
    _print({**_card(used), **counts, "runs": states}, as_json=as_json)


@cli.command()
@_HOME
@_JSON
def health(home: Path, *, as_json: bool) -> None:
    """Ask the gateway of this home whether it answers and could launch runs; ends with 1 if not."""
    _print(upkeep.health(home), as_json=as_json)


@cli.command()
@_HOME
@_JSON
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def prune(home: Path, *, dry_run: bool, as_json: bool) -> None:
    """Remove what the settings no longer keep (docs/OPERATING.md); works while the gateway runs."""
    _print(upkeep.prune(home, dry_run=dry_run), as_json=as_json)


@cli.command()
@_HOME
@_JSON
@click.argument("file", type=_FILE)
def backup(home: Path, file: Path, *, as_json: bool) -> None:
    """Write the home to one new file; works while the gateway runs. The file holds the gateway's TLS key."""
    _print(upkeep.backup(home, file), as_json=as_json)


@cli.command()
@_HOME
@_JSON
@click.option("--database", default="", help="Put what the gateway knew into this empty PostgreSQL database.")
@click.argument("file", type=_FILE)
def restore(home: Path, file: Path, database: str, *, as_json: bool) -> None:
    """Make a new home out of a backup, every byte of it checked; a home that is there is never touched."""
    _print(upkeep.restore(home, file, database=database), as_json=as_json)


def main() -> None:
    """Run the command; 0 done, 1 failed, 2 misuse."""
    try:
        cli(prog_name="sealroom-host")
    except BadSettings as error:
        _fail(str(error), "see `sealroom-host --help` and host.toml in the home", 2)
    except upkeep.NotReadyError as error:
        _fail(str(error), "see the gateway's log, and docs/OPERATING.md", 1)
    except StoreError as error:
        _fail(f"the database cannot be used: {error}", "see docs/OPERATING.md on PostgreSQL", 1)
    except BackupError as error:
        _fail(f"no backup was made or restored: {error}", "nothing was changed", 1)
    except FileExistsError as error:
        _fail(f"{error.filename} is there already", "choose another --home, or move the old one away", 1)
    except OSError as error:
        _fail(f"{type(error).__name__}: {error}", "check the home's permissions, the address and the socket", 1)


def _card(used: Settings) -> dict[str, Any]:
    """What parties need of a gateway: where it is, and the certificate to pin with its fingerprint."""
    pem = used.certificate.read_text(encoding="ascii")
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    return {"url": used.url, "certificate": str(used.certificate), "certificate_sha256": fingerprint}


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) >= 1 << 16:
        raise BadSettings("--listen must be HOST:PORT")
    host = host.removeprefix("[").removesuffix("]")
    if int(port):
        return host, int(port)
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        return host, int(probe.getsockname()[1])


def _print(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"format": "sealroom/host/v1", **values}))
        return
    for name, value in values.items():
        click.echo(f"{name}: {json.dumps(value) if isinstance(value, dict) else value}")


def _fail(message: str, hint: str, status: int) -> None:
    click.echo(f"sealroom-host: error: {message}", err=True)
    click.echo(f"sealroom-host: hint: {hint}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
