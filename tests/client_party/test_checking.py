"""What an owner's file must be before it is sealed, and that what is sealed comes back the same."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealroom.client import checking, checking_arrow, sealing
from sealroom.client.errors import Unreachable
from sealroom.protocol import bundle
from sealroom.protocol.agreement import Column, Dataset
from sealroom.protocol.errors import Malformed, NotAcceptable, UsageError
from sealroom.protocol.sealed import Opener
from tests.client_party.playing import BANK_CSV, Players


def column(name: str, kind: str, values: tuple[str, ...] | None = None) -> Column:
    return Column(name=name, type=kind, identifier=None, values=values)  # type: ignore[arg-type]


TABLE = Dataset(
    name="t", owner="bank", population="t", entity="id", most_rows=5,
    columns=(
        column("id", "text"), column("n", "int"), column("x", "float"), column("b", "bool"),
        column("c", "category", ("red", "blue")), column("s", "text"),
    ),
)  # fmt: skip
HEADER = "id,n,x,b,c,s\n"
GOOD = "1,7,0.5,true,red,hello\n2,-7,1e3,0,blue,\n3,,,,,\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(text, "utf-8", newline="")
    return path


def test_a_file_that_fits_is_sealed_byte_by_byte(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + GOOD)
    checked = checking.check_csv(TABLE, path)
    assert (checked.rows, checked.undeclared, checked.size) == (3, (), path.stat().st_size)
    assert checked.as_it_is


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        ("9,seven,,,,", "n", "not a whole number"),
        ("9,1.5,,,,", "n", "not a whole number"),
        ("9,,nan,,,", "x", "not a number"),
        ("9,,inf,,,", "x", "not a number"),
        ("9,,1e999,,,", "x", "not a number"),
        ("9,,,maybe,,", "b", "not true, false, 1 or 0"),
        ("9,,,,green,", "c", "not one of the declared values"),
        ("9,,,,Red,", "c", "not one of the declared values"),
        (",,,,,", "id", "1 to 64"),
        ("1,,,,,", "id", "there already"),
        (f"{'x' * 65},,,,,", "id", "1 to 64"),
        ("9,,", "-", "3 cells where the header has 6"),
    ],
)
def test_a_bad_cell_is_told_by_row_and_column_and_never_by_its_content(
    tmp_path: Path, row: str, column: str, problem: str
) -> None:
    with pytest.raises(checking.BadRows) as caught:
        checking.check_csv(TABLE, write(tmp_path, f"{HEADER}1,7,0.5,true,red,x\n{row}\n"))
    (finding,) = caught.value.findings
    assert (finding.row, finding.column) == (3, column)
    assert problem in finding.problem
    assert caught.value.code == "E1.bad-rows"
    for secret in ("seven", "maybe", "green"):
        assert secret not in str(caught.value)


def test_many_bad_cells_are_counted_and_the_first_are_told(tmp_path: Path) -> None:
    wide = dataclasses.replace(TABLE, most_rows=1000)
    rows = "".join(f"{i},bad,bad,,,\n" for i in range(100))
    with pytest.raises(checking.BadRows) as caught:
        checking.check_csv(wide, write(tmp_path, HEADER + rows))
    assert (caught.value.count, len(caught.value.findings)) == (200, checking.MOST_REPORTED)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E1.missing-column"),
        ("id,n,x,b,c\n", "E1.missing-column"),
        ("id,n,x,b,c,S\n", "E1.missing-column"),
        ("id,n,x,b,c,s,s\n", "E1.duplicate-column"),
        (HEADER, "E1.no-rows"),
        (HEADER + "".join(f"{i},,,,,\n" for i in range(6)), "E1.too-many-rows"),
        (HEADER + '1,,,,,"\n', "E1.not-csv"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        checking.check_csv(TABLE, write(tmp_path, text))
    assert caught.value.code == code


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER.encode() + b"\xff\xfe,,,,,\n")
    with pytest.raises(Malformed) as caught:
        checking.check_csv(TABLE, path)
    assert caught.value.code == "E1.not-csv"
    with pytest.raises(Unreachable):
        checking.check_csv(TABLE, tmp_path / "absent.csv")


def test_what_is_not_declared_stays_on_this_machine(tmp_path: Path) -> None:
    path = write(tmp_path, 'secret,id,n,x,b,c,s\ntop,1,7,,,red,"a,""b"""\nnone,2,,,,,line\n')
    checked = checking.check_csv(TABLE, path)
    assert checked.undeclared == ("secret",)
    with checking.projected(checked) as stream:
        data = stream.read()
    assert len(data) == checked.size
    assert data.decode() == 'id,n,x,b,c,s\n1,7,,,red,"a,""b"""\n2,,,,,line\n'


CELL = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_a_projection_reads_back_as_the_same_cells(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    table = dataclasses.replace(TABLE, columns=(column("id", "text"), column("s", "text")))
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("s", "extra", "id"), *((s, extra, str(i)) for i, (s, extra) in enumerate(rows))])
    checked = checking.check_csv(table, path)
    with checking.projected(checked) as stream:
        data = stream.read()
    assert len(data) == checked.size
    again = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert again == [["s", "id"], *([s, str(i)] for i, (s, _) in enumerate(rows))]


def opened(agreed: Players, name: str, made: sealing.SealedFile) -> bytes:
    home = agreed.home(name)
    manifest = made.kept.verify(home.public_keys().signing)
    ciphertext = made.ciphertext.read_bytes()
    opener = Opener(home.object_key(made.kept.digest), manifest)
    return b"".join(opener.plaintext(lambda offset, size: ciphertext[offset : offset + size]))


def test_a_sealed_dataset_opens_with_the_kept_key_alone(agreed: Players, tmp_path: Path) -> None:
    bank = agreed.home("bank")
    path = agreed.write("bank.csv", BANK_CSV)
    made = sealing.seal(bank, bank.agreement(), "customers", path, folder=tmp_path)
    assert made.rows == 3
    assert opened(agreed, "bank", made) == BANK_CSV.encode()
    assert b"x.example" not in made.ciphertext.read_bytes() + made.manifest.read_bytes()


def test_a_bundle_is_packed_from_its_folder_or_taken_as_packed(agreed: Players, tmp_path: Path) -> None:
    bank, folder = agreed.home("bank"), agreed.bundle()
    made = sealing.seal(bank, bank.agreement(), "model", folder, folder=tmp_path)
    archive = opened(agreed, "bank", made)
    assert bundle.read(archive).manifest.entry == "job:run"
    packed = tmp_path / "job.bundle"
    packed.write_bytes(archive)
    again = sealing.seal(bank, bank.agreement(), "model", packed, folder=tmp_path, overwrite=True)
    assert opened(agreed, "bank", again) == archive
    packed.write_bytes(archive[:-1])
    with pytest.raises(Malformed):
        sealing.pack(packed)


def test_sealing_twice_gives_different_ciphertext_and_needs_a_word(agreed: Players, tmp_path: Path) -> None:
    bank, path = agreed.home("bank"), agreed.write("bank.csv", BANK_CSV)
    first = sealing.seal(bank, bank.agreement(), "customers", path, folder=tmp_path)
    before = first.ciphertext.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        sealing.seal(bank, bank.agreement(), "customers", path, folder=tmp_path)
    second = sealing.seal(bank, bank.agreement(), "customers", path, folder=tmp_path, overwrite=True)
    assert second.ciphertext.read_bytes() != before
    assert second.kept.sealed_at > first.kept.sealed_at


def test_a_refusal_leaves_no_file_behind(agreed: Players, tmp_path: Path) -> None:
    bank, target = agreed.home("bank"), tmp_path / "out"
    target.mkdir()
    bad = agreed.write("bank.csv", BANK_CSV.replace("10", "ten"))
    with pytest.raises(checking.BadRows):
        sealing.seal(bank, bank.agreement(), "customers", bad, folder=target)
    assert list(target.iterdir()) == []
    assert bank.objects() == []


def test_an_object_is_sealed_by_its_owner_in_its_lane_as_what_it_is(agreed: Players, tmp_path: Path) -> None:
    partner, bank = agreed.home("partner"), agreed.home("bank")
    path = agreed.write("bank.csv", BANK_CSV)
    with pytest.raises(NotAcceptable) as caught:
        sealing.seal(partner, partner.agreement(), "customers", path, folder=tmp_path)
    assert caught.value.code == "E3.not-owner"
    folder = agreed.bundle()
    (folder / "bundle.json").write_text('{"format":"sealroom/bundle/v1","lane":"query","entry":"query.json"}')
    (folder / "query.json").write_text("{}")
    with pytest.raises(NotAcceptable) as caught:
        sealing.seal(bank, bank.agreement(), "model", folder, folder=tmp_path)
    assert caught.value.code == "E3.wrong-lane"
    with pytest.raises(UsageError, match="no object"):
        sealing.seal(bank, bank.agreement(), "nothing", path, folder=tmp_path)
    with pytest.raises(UsageError, match=r"\.csv"):
        sealing.seal(bank, bank.agreement(), "customers", agreed.write("bank.txt", "x"), folder=tmp_path)
    with pytest.raises(Unreachable):
        sealing.seal(bank, bank.agreement(), "customers", tmp_path / "absent.csv", folder=tmp_path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="regular"):
        sealing.seal(bank, bank.agreement(), "customers", tmp_path / "folder.csv", folder=tmp_path)


def arrow_table(**changes: object) -> pa.Table:
    values = {
        "id": ["1", "2"], "n": [1, None], "x": [0.5, 1.0], "b": [True, None], "c": ["red", None], "s": ["x", "y"],
    }  # fmt: skip
    return pa.table({**values, **changes})


def save(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        pyarrow.feather.write_feather(table, path, compression="uncompressed")
    return path


@pytest.mark.parametrize(("name", "media"), [("t.parquet", "parquet"), ("t.arrow", "arrow")])
def test_tables_of_arrow_are_checked_where_arrow_is_there(tmp_path: Path, name: str, media: str) -> None:
    assert checking_arrow.available()
    assert checking_arrow.check(TABLE, save(tmp_path / name, arrow_table()), media) == 2
    bad: list[tuple[dict[str, object], str]] = [
        ({"id": ["1", "1"]}, "E1.bad-rows"), ({"id": ["1", None]}, "E1.bad-rows"),
        ({"c": ["red", "green"]}, "E1.bad-rows"),
    ]  # fmt: skip
    for change, code in bad:
        with pytest.raises(Malformed) as caught:
            checking_arrow.check(TABLE, save(tmp_path / name, arrow_table(**change)), media)
        assert caught.value.code == code
    narrow = save(tmp_path / name, arrow_table().drop_columns(["s"]))
    with pytest.raises(Malformed):
        checking_arrow.check(TABLE, narrow, media)
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(Malformed):
        checking_arrow.check(TABLE, tmp_path / name, media)


def test_without_arrow_a_table_is_taken_with_a_note(
    agreed: Players, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking_arrow, "available", lambda: False)
    bank = agreed.home("bank")
    path = save(tmp_path / "bank.parquet", arrow_table())
    made = sealing.seal(bank, bank.agreement(), "customers", path, folder=tmp_path)
    assert made.rows is None
    assert "not checked" in made.notes[0]
