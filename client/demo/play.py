"""Tells the story, act by act, and leaves `report.json` and `report.html`.

Runs in: the demo.   Believes: what the acts found.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sealroom.client.demo import containers, page, score, telling
from sealroom.client.demo import props as things
from sealroom.client.demo.stage import Props, Stage

TAMPERED = "app/sealroom/enclave/gate/admit.py"
Say = Callable[[str], None]


def play(props: Props, say: Say, *, learn: bool = True) -> dict[str, Any]:
    """Play the whole demo into `props.folder` and return the report; `learn` adds the look-alike run."""
    began = time.monotonic()
    found: dict[str, Any] = {}
    shutil.rmtree(props.folder, ignore_errors=True)
    props.folder.mkdir(parents=True)
    scene = Stage(props, say)
    say(telling.OPENING.format(bank=scene.bank.name, partner=scene.partner.name))
    gateway = scene.prepare_operator()
    found["agreed"] = scene.agree(gateway)
    say(telling.AGREED.format(measurement=found["agreed"]["measurement"][:24]))
    with scene.processor():
        with scene.gateway(gateway["url"], props.image):
            scene.bring(gateway)
            say(telling.BROUGHT)
            with scene.brokers():
                found["first"] = _first_run(scene, say)
                found["second"] = _second_run(scene, say) if learn else None
        found["tamper"] = _tamper(scene, gateway["url"], say)
    report = telling.report(scene, found, seconds=time.monotonic() - began)
    write(report, props.folder)
    say(telling.closing(report, props.folder))
    return report


def write(report: Mapping[str, Any], folder: Path) -> None:
    """The report for programs and for people."""
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "report.html").write_text(page.page(report), "utf-8")


def _first_run(scene: Stage, say: Say) -> dict[str, Any]:
    rules = ["overlap", *(["segments"] if scene.props.pair.segments else [])]
    run = scene.run(*rules)
    results = scene.collect(scene.bank, run)
    count = json.loads(results["overlap"])
    say(telling.OVERLAP.format(**telling.overlap_words(count)))
    return {"run": run, "results": results, "receipts": scene.verify(run)}


def _second_run(scene: Stage, say: Say) -> dict[str, Any]:
    run = scene.run("quality", "audience")
    quality = scene.collect(scene.bank, run)
    audience = scene.collect(scene.partner, run)
    ids = audience["audience"].split()[1:]
    found = score.score(scene.props.pair, scene.props.data, ids)
    say(telling.AUDIENCE.format(**telling.audience_words(json.loads(quality["quality"]), ids, found)))
    return {"run": run, "quality": quality, "audience": audience, "receipts": scene.verify(run), "score": found}


def _tamper(scene: Stage, url: str, say: Say) -> dict[str, Any]:
    """Launch a copy of the image with one byte changed, and have the owners' brokers answer it."""
    with _tampered_image(scene.props) as image, scene.gateway(url, image):
        refused = scene.refused_run("overlap")
        exported = scene.export()
    history = scene.proven(refused, exported)
    say(telling.TAMPERED.format(file=TAMPERED, **refused, **history))
    return {"file": TAMPERED, **refused, "history": history}


@contextlib.contextmanager
def _tampered_image(props: Props) -> Iterator[str]:
    """The changed copy, while the block lasts: an image folder, or the id of a container image."""
    if props.engine is not None:
        with containers.tampered(props.engine, props.image, f"/opt/sealroom/{TAMPERED}") as image:
            yield image
        return
    copy = props.folder / "operator" / "tampered-image"
    things.tampered_copy(Path(props.image), copy, TAMPERED)
    yield str(copy)
    shutil.rmtree(copy)
