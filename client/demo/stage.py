"""The acts of the demo: agree, bring, run, and one launch with a changed byte; each act is commands of real programs.

Runs in: the demo.   Believes: exit codes and JSON of the commands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sealroom.client.demo import pair as pairs
from sealroom.client.demo import services
from sealroom.client.demo.actors import Actor, DemoFailed
from sealroom.client.demo.pair import Pair
from sealroom.client.demo.props import gauges
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from sealroom.protocol import terms, wire
from sealroom.protocol.rules import AudienceToOwner

RUN_SECONDS = 600.0
POLL_SECONDS = 0.5
ATTESTATION_MISMATCH = 6
"""The exit code of a command that refused evidence."""
PERCENT, FLOOR = 10, 100
"""The demo's audience: a tenth of the partner's unlinked customers, and a floor far below the default one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Props:
    """What the demo is played with: folders, the pair's files, the jobs, and what is launched."""

    folder: Path
    data: Path
    pair: Pair
    model: Path
    segments: Path | None
    launcher: str
    image: str
    measured: Path
    """What the owners measure: the image folder, or the file that `docker save` wrote."""
    engine: str | None = None
    """Socket of the container engine (docker launcher)."""


class Stage:
    """Bank, partner and operator, the operator's two services, and the owners' brokers."""

    def __init__(self, props: Props, say: Callable[[str], None]) -> None:
        """Empty homes for three parties."""
        self.props, self.say = props, say
        pair = props.pair
        self.operator = Actor.make("operator", props.folder / "operator")
        self.bank = Actor.make(pair.left.party, props.folder / pair.left.party)
        self.partner = Actor.make(pair.right.party, props.folder / pair.right.party)
        self.socket = props.folder / "operator" / "processor.sock"
        self.host_home = props.folder / "operator" / "host"
        self.agreement_file = props.folder / "agreement.signed.json"
        self.root = self.operator.folder / "processor" / "root.der"

    @property
    def owners(self) -> tuple[Actor, Actor]:
        """The two parties that bring something."""
        return self.bank, self.partner

    def prepare_operator(self) -> dict[str, Any]:
        """Make the operator's keys, its simulated processor and its gateway; the card of the gateway."""
        self.operator.type("init", "--role", "operator", "--name", "operator", "--to", self.props.folder)
        services.run(["sealroom.attestation.simulated", "init", "--home", str(self.root.parent)])
        card = json.loads((self.props.folder / "operator.party.json").read_text("utf-8"))
        made = services.run(
            [
                "sealroom.host",
                "init",
                "--home",
                str(self.host_home),
                "--operator-key",
                card["signing_key"],
                "--listen",
                f"127.0.0.1:{services.free_port()}",
                "--launcher",
                self.props.launcher,
                "--image",
                self.props.image,
                "--processor",
                str(self.socket),
                *(["--docker-engine", self.props.engine] if self.props.engine else []),
                "--json",
            ]
        )
        return dict(json.loads(made))

    @contextlib.contextmanager
    def processor(self) -> Iterator[None]:
        """The simulated secure processor, while the block lasts."""
        log = self.operator.folder / "processor.log"
        command = [
            "sealroom.attestation.simulated",
            "serve",
            "--home",
            str(self.root.parent),
            "--socket",
            str(self.socket),
        ]
        with services.running(command, log=log) as process:
            services.wait_for("the simulated processor", self.socket, process, log)
            yield

    @contextlib.contextmanager
    def gateway(self, url: str, image: str) -> Iterator[None]:
        """The operator's gateway, launching `image`, while the block lasts."""
        log = self.operator.folder / "host.log"
        with services.running(
            ["sealroom.host", "serve", "--home", str(self.host_home), "--image", image], log=log
        ) as process:
            services.wait_for_port("the gateway", int(url.rpartition(":")[2]), process, log)
            yield

    @contextlib.contextmanager
    def brokers(self) -> Iterator[None]:
        """Both owners' key brokers, while the block lasts."""
        with contextlib.ExitStack() as stack:
            for owner in self.owners:
                process = owner.start("broker", "--watch", log=owner.folder / "broker.log")
                stack.callback(services.stop, process)
            yield

    def agree(self, gateway: dict[str, Any]) -> dict[str, Any]:
        """Keys, cards, one agreement that three sign, one measurement that both owners approve."""
        pair, shared = self.props.pair, self.props.folder
        spec = shared / "agreement.spec.json"
        described = pairs.agreement_spec(pair, self.props.data, percent=PERCENT, floor=FLOOR)
        spec.write_text(json.dumps(described, indent=1), "utf-8")
        reach = ("--gateway", gateway["url"], "--gateway-certificate", gateway["certificate"], "--to", shared)
        self.bank.type("init", "--role", "bank", "--name", self.bank.name, *reach)
        own = f"{pair.right.dataset}={self.props.data / pair.right.file}"
        self.partner.type(
            "init", "--role", "partner", "--name", self.partner.name, *reach, "--columns", own, "--spec", spec
        )
        columns = shared / f"{pair.right.dataset}.columns.json"
        draft = self.bank.type(
            "agreement",
            "new",
            "--template",
            "lookalike",
            "--spec",
            spec,
            "--party",
            shared / f"{self.partner.name}.party.json",
            "--party",
            shared / "operator.party.json",
            "--operator",
            "operator",
            "--platform-root",
            self.root,
            "--infer",
            f"{pair.left.dataset}={self.props.data / pair.left.file}",
            "--columns",
            columns,
            "--output",
            shared / "agreement.json",
            "--approve",
            self.props.measured,
        )
        signed = self.partner.type(
            "agreement",
            "sign",
            self.agreement_file,
            "--approve",
            self.props.measured,
            "--yes",
            "--output",
            self.agreement_file,
        )
        self.operator.type("agreement", "sign", self.agreement_file, "--yes", "--output", self.agreement_file)
        return {"agreement": signed["agreement"], "measurement": signed["measurement"], "draft": draft}

    def bring(self, gateway: dict[str, Any]) -> None:
        """Register the agreement, seal both tables and the code, and upload ciphertext."""
        pair, data = self.props.pair, self.props.data
        self.operator.type("init", "--gateway", gateway["url"], "--gateway-certificate", gateway["certificate"])
        self.operator.type("submit", "--agreement", self.agreement_file)
        code = [f"model={self.props.model}"]
        if self.props.segments is not None and pair.segments is not None:
            code.append(f"{pair.segments.bundle}={self.props.segments}")
        self.bank.type(
            "seal",
            f"{pair.left.dataset}={data / pair.left.file}",
            *code,
            "--agreement",
            self.agreement_file,
            "--submit",
        )
        self.partner.type(
            "seal", f"{pair.right.dataset}={data / pair.right.file}", "--agreement", self.agreement_file, "--submit"
        )

    def run(self, *rules: str) -> str:
        """Ask for a run and wait until its receipt is there; its id."""
        return str(self.bank.type("run", "--rules", ",".join(rules), "--wait", "--yes")["run"])

    def collect(self, party: Actor, run: str) -> dict[str, str]:
        """Open what a run released to a party: text by rule."""
        opened = party.type("results", run)["opened"]
        return {item["rule"]: Path(item["file"]).read_text("utf-8") for item in opened}

    def verify(self, run: str) -> list[dict[str, Any]]:
        """Both owners check the receipt of a run offline; what each found."""
        found = []
        for owner in self.owners:
            file = owner.type("results", run, may_fail=True)["receipt"]
            found.append(owner.type("receipt", "verify", file, "--root", self.root, "--require-final"))
        return found

    def refused_run(self, rule: str) -> dict[str, str]:
        """Ask for a run and let both brokers answer until one refuses the evidence: which, who, and in which words.

        Raises:
            DemoFailed: nobody refused.
        """
        run = str(self.bank.type("run", "--rules", rule, "--yes")["run"])
        end = time.monotonic() + RUN_SECONDS
        while time.monotonic() < end:
            state = self.bank.type("watch", run, "--once")["state"]
            for owner in self.owners:
                answer = owner.type("broker", "--once", may_fail=True)
                if answer["exit"] == ATTESTATION_MISMATCH:
                    reason = next(line for line in answer["said"].splitlines() if "error" in line)
                    return {"run": run, "refused_by": owner.name, "reason": reason.removeprefix("sealroom: error: ")}
            if state in wire.RUN_FINAL_STATES:
                break
            time.sleep(POLL_SECONDS)
        raise DemoFailed("nobody refused the changed image")

    def proven(self, refused: Mapping[str, str], exported: Path) -> dict[str, Any]:
        """Prove the whole history offline, and find in it that this run was refused; its numbers.

        Raises:
            DemoFailed: the history does not say so.
        """
        found = self.bank.type("audit", "verify", exported, "--root", self.root)
        said = [fact for fact in found["facts"] if (fact["run"], fact["what"]) == (refused["run"], "declined")]
        if [fact["party"] for fact in said] != [refused["refused_by"]]:
            raise DemoFailed("the history does not hold the refusal")
        return {"entries": found["entries"], "runs": found["runs"], "receipts": found["receipts"]}

    def export(self) -> Path:
        """What the gateway logged, for an auditor."""
        folder = self.props.folder / "history"
        self.bank.type("audit", "export", folder)
        return folder

    def slot(self) -> dict[str, Any]:
        """Seconds of the slots of hidden code, and the bits that its choice of when to end was charged with per run."""
        agreement = Home.open(self.bank.folder / "home").agreement().agreement
        opaque = tuple(rule.name for rule in agreement.rules if terms.is_opaque(rule))
        return {"seconds": agreement.slots.opaque, "bits": terms.status_cost(agreement, opaque).bits / 1000}

    def floor(self) -> int:
        """How few ids an audience may have, by the agreement that was signed."""
        agreement = Home.open(self.bank.folder / "home").agreement().agreement
        return min(rule.floor for rule in agreement.rules if isinstance(rule, AudienceToOwner))

    def budgets(self) -> list[dict[str, Any]]:
        """What each owner's purses have spent, from its own ledger."""
        found = []
        for owner in self.owners:
            home = Home.open(owner.folder / "home")
            agreement = home.agreement()
            with Ledger.open(home.root, owner.name) as ledger:
                for purse in agreement.agreement.purses:
                    if purse.owner == owner.name:
                        found += gauges(purse, ledger.spent(purse.population))
        return found
