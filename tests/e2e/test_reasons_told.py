"""A job that raises inside a real enclave: the host learns that nothing left, the owners read why, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealroom.client.demo import pair as pairs
from sealroom.client.demo.stage import Props, Stage
from sealroom.protocol import reasons

RAISES = "def run(tables, ask):\n    raise ValueError('a word of the job')\n"


@pytest.fixture
def stage(image: Path, root: Path, tmp_path: Path) -> Stage:
    """Three parties and a bundle whose function raises."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "job.py").write_text(RAISES, "utf-8")
    (model / "bundle.json").write_text('{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}', "utf-8")
    data = root / "jobs" / "data" / "lookalike"
    props = Props(
        folder=tmp_path / "parties", data=data, pair=pairs.load(data / "pair.toml"), model=model,
        segments=root / "jobs" / "overlap", launcher="process", image=str(image), measured=image,
    )  # fmt: skip
    props.folder.mkdir()
    return Stage(props, lambda _: None)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_owners_read_why_a_rule_was_withheld_and_the_host_does_not(stage: Stage) -> None:
    gateway = stage.prepare_operator()
    stage.agree(gateway)
    with stage.processor(), stage.gateway(gateway["url"], stage.props.image):
        stage.bring(gateway)
        with stage.brokers():
            run = stage.run("quality")
            answers = {owner.name: owner.type("results", run) for owner in stage.owners}
    expected = reasons.ADVICE["job-error"]
    for owner in stage.owners:
        answer = answers[owner.name]
        assert (answer["status"], answer["opened"]) == ("completed", [])
        (reason,) = answer["reasons"]
        assert reason == {
            "rule": "quality", "code": "job-error", "meaning": expected.meaning, "change": expected.change,
        }  # fmt: skip
        offline = owner.type("receipt", "verify", answer["receipt"])
        assert offline["reasons"] == [reason]
        assert "word of the job" not in json.dumps([answer, offline])
    stranger = stage.operator.type("receipt", "verify", answers["bank"]["receipt"], "--root", stage.root)
    assert stranger["reasons"] == []
    kept = [path for path in stage.operator.folder.rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert not [path for path in kept if b"job-error" in path.read_bytes() and "tampered" not in str(path)]
