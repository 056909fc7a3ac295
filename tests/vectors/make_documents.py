"""Vectors of documents: bundles and agreements."""

from __future__ import annotations

from typing import Any

from sealroom.protocol import bundle, canonical
from sealroom.protocol.keys import to_text
from tests.vectors import cases
from tests.vectors.cases import Produced, vector


def produce() -> Produced:
    yield from bundles()
    yield from agreements()


WHOLE = {
    "bundle.json": b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}',
    "job.py": b"def run(tables, ask): ...\n",
}
QUERY = {
    "bundle.json": b'{"format": "sealroom/bundle/v1", "lane": "query", "entry": "query.json"}',
    "query.json": b'{"format":"sealroom/query/v1","segments":[]}',
}


def _raw(files: list[tuple[str, bytes]]) -> bytes:
    """An archive in any order and with any names, each header right in itself."""
    parts = [bundle._header(name, len(data)) + data + bytes(-len(data) % 512) for name, data in files]
    return b"".join(parts) + bytes(1024)


def _checked(archive: bytes, offset: int, field: bytes) -> bytes:
    """The archive with a field of its first header replaced, and that header's checksum put right."""
    head = bytearray(archive[:512])
    head[offset : offset + len(field)] = field
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + archive[512:]


def bundles() -> Produced:
    whole, query = bundle.build(WHOLE), bundle.build(QUERY)
    listed = sorted(WHOLE.items())
    manifest, job = listed

    def with_manifest(text: bytes) -> bytes:
        return _raw([("bundle.json", text), job])

    table: list[tuple[str, str, str, str, bytes]] = [
        ("valid-whole", "ok", "manifest", "a job", whole),
        ("valid-query", "ok", "manifest", "a query; its manifest need not be canonical", query),
        ("valid-package", "ok", "manifest", "the entry is a package",
         bundle.build({"bundle.json": WHOLE["bundle.json"], "job/__init__.py": job[1]})),
        ("out-of-order", "E1.out-of-order", "order", "files not sorted", _raw([job, manifest])),
        ("file-twice", "E1.out-of-order", "order", "a file twice", _raw([manifest, job, job])),
        ("symbolic-link", "E1.bad-header", "header", "a link", _checked(whole, 156, b"2")),
        ("hard-link", "E1.bad-header", "header", "a link with a target", _checked(whole, 156, b"1job.py")),
        ("device", "E1.bad-header", "header", "a device", _checked(whole, 156, b"3")),
        ("pipe", "E1.bad-header", "header", "a pipe", _checked(whole, 156, b"6")),
        ("extended-header", "E1.bad-header", "header", "an extended header", _checked(whole, 156, b"x")),
        ("executable", "E1.bad-header", "header", "another mode", _checked(whole, 100, b"0000755")),
        ("dated", "E1.bad-header", "header", "a time", _checked(whole, 136, b"00000000001")),
        ("owned", "E1.bad-header", "header", "an owner", _checked(whole, 265, b"root")),
        ("prefixed", "E1.bad-header", "header", "a name prefix", _checked(whole, 345, b"a")),
        ("gnu-magic", "E1.bad-header", "header", "GNU's magic", _checked(whole, 257, b"ustar  \0")),
        ("binary-size", "E1.bad-header", "header", "a size in base 256", _checked(whole, 124, b"\x80" + bytes(11))),
        ("bad-checksum", "E1.bad-header", "header", "a checksum of zeros", whole[:148] + b"000000\0 " + whole[156:]),
        ("upwards", "E1.bad-name", "header", "a name that leads upwards", _raw([("../job.py", b""), manifest])),
        ("absolute", "E1.bad-name", "header", "an absolute name", _raw([("/job.py", b""), manifest])),
        ("hidden", "E1.bad-name", "header", "a name that begins with a dot", _raw([(".job.py", b""), manifest])),
        ("upper-case", "E1.bad-name", "header", "upper case", _raw([("Job.py", b""), manifest])),
        ("native-code", "E1.bad-name", "header", "an ending that is not allowed", _raw([manifest, ("job.so", b"")])),
        ("too-deep", "E1.bad-name", "header", "nine levels", _raw([("a/" * 8 + "b.py", b""), manifest])),
        ("dirty-padding", "E1.bad-padding", "content", "a byte behind a file", whole[:600] + b"x" + whole[601:]),
        ("cut-in-file", "E1.cut-short", "content", "ends inside a file", whole[:520]),
        ("no-end", "E1.cut-short", "content", "no end mark", whole[:-1024]),
        ("trailing-bytes", "E1.trailing-bytes", "end", "a block behind the end", whole + bytes(512)),
        ("empty", "E1.no-manifest", "manifest", "no file at all", bytes(1024)),
        ("no-manifest", "E1.no-manifest", "manifest", "no bundle.json", _raw([job])),
        ("manifest-not-json", "E1.not-json", "manifest", "bundle.json is no JSON", with_manifest(b"{")),
        ("manifest-key-twice", "E1.not-json", "manifest", "bundle.json repeats a key",
         with_manifest(b'{"format":"sealroom/bundle/v1","lane":"whole","lane":"whole","entry":"job:run"}')),
        ("manifest-unknown-field", "E1.unknown-field", "manifest", "bundle.json has a field more",
         with_manifest(b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run","x":1}')),
        ("unknown-lane", "E1.not-allowed", "manifest", "a lane that is none",
         with_manifest(b'{"format":"sealroom/bundle/v1","lane":"pairs","entry":"job:run"}')),
        ("entry-missing", "E1.no-entry", "manifest", "the entry is not in the bundle",
         with_manifest(b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"other:run"}')),
        ("entry-of-the-other-lane", "E1.no-entry", "manifest", "a query's entry for a job",
         with_manifest(b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"query.json"}')),
        ("entry-twice", "E1.no-entry", "manifest", "module and package of one name",
         _raw([manifest, job, ("job/__init__.py", b"")])),
    ]  # fmt: skip
    for name, expect, stage, comment, archive in table:
        yield f"bundle/{name}", vector(expect, stage, comment, archive, form="hex")


def agreements() -> Produced:
    base = cases.shared("agreement-document")
    where = {rule["name"]: number for number, rule in enumerate(base["rules"])}
    overlap, cells, quality, audience = (where[n] for n in ("overlap", "by-segment", "quality", "audience"))
    column = {c["name"]: number for number, c in enumerate(base["datasets"][0]["columns"])}
    y, balance = ["datasets", 0, "columns", column["y"]], ["datasets", 0, "columns", column["balance"]]
    schema_cases: list[tuple[str, str, str, list[Any]]] = [
        ("unknown-field", "E1.unknown-field", "a field more", [[["more"], 1]]),
        ("missing-field", "E1.missing-field", "a field less", [[["slots"]]]),
        ("bool-as-integer", "E1.wrong-type", "true is not 1", [[["sequence"], True]]),
        ("text-as-integer", "E1.wrong-type", "a text is not a number", [[["not_before"], "0"]]),
        ("negative-time", "E1.out-of-range", "before 1970", [[["not_before"], -1]]),
        ("one-party", "E1.bad-length", "nobody to agree with", [[["parties"], base["parties"][:1]]]),
        ("unknown-rule", "E1.unknown-type", "a rule that is not in the catalogue",
         [[["rules", overlap, "type"], "rows_to_code_author"]]),
        ("unknown-scheme", "E1.not-allowed", "a linkage scheme without a proof",
         [[["links", 0, "scheme"], "fuzzy/v1"]]),
        ("unknown-lane", "E1.not-allowed", "a lane that is none", [[["bundles", 0, "lane"], "pairs"]]),
        ("policy-without-check", "E1.missing-field", "a platform check left out is not a check waived",
         [[["platforms", 0, "debug"]]]),
        ("upper-case-name", "E1.bad-text", "a name in upper case", [[["parties", 0, "name"], "Bank"]]),
        ("two-line-title", "E1.bad-text", "a title of two lines", [[["title"], "one\u2028two"]]),
        ("percent", "E1.out-of-range", "an audience of 31 percent", [[["rules", audience, "percent"], 31]]),
        ("no-epsilon", "E1.out-of-range", "no noise", [[["rules", overlap, "epsilon"], 0]]),
    ]  # fmt: skip
    consistency_cases: list[tuple[str, str, list[Any]]] = [
        ("1-names", "a dataset and a bundle of one name", [[["bundles", 0, "name"], "customers"]]),
        ("2-operator", "an operator who is no party", [[["operator"], "nobody"]]),
        ("2-recipient", "a recipient who is no party", [[["rules", overlap, "recipients"], ["nobody"]]]),
        ("2-one-key-for-two", "two parties with one signing key",
         [[["parties", 1, "signing_key"], base["parties"][0]["signing_key"]]]),
        ("2-short-key", "a signing key of 31 bytes", [[["parties", 0, "signing_key"], to_text(bytes(31))]]),
        ("2-officers", "two officers must agree and none is named", [[["parties", 0, "consent", "threshold"], 2]]),
        ("3-chain", "a second version without a first", [[["sequence"], 2]]),
        ("3-validity", "it ends before it begins", [[["not_after"], 0]]),
        ("4-category", "a category without values", [[[*y, "values"], None]]),
        ("4-number-with-values", "a number with declared values", [[[*balance, "values"], ["1"]]]),
        ("4-identifier", "an identifier that is a number", [[[*balance, "identifier"], "postcode"]]),
        ("4-entity", "no entity column", [[["datasets", 0, "entity"], "nowhere"]]),
        ("4-entity-identifies", "the entity column is an identifier", [[["datasets", 0, "entity"], "email"]]),
        ("5-approvals", "more approvals than parties", [[["approvals", "threshold"], 4]]),
        ("5-purse", "a dataset without a purse", [[["datasets", 0, "population"], "others"]]),
        ("6-link", "a link to nothing", [[["links", 0, "left"], "nowhere"]]),
        ("6-link-identifier", "a link by what one side lacks", [[["links", 0, "keys"], [["national_id"]]]]),
        ("6-lane", "opaque code under a formal rule", [[["rules", cells, "segments", "bundle"], "model"]]),
        ("6-query-as-job", "a query under a code rule", [[["rules", quality, "bundle"], "segments"]]),
        ("6-candidates-outcome", "the outcome is the candidates' own",
         [[["rules", quality, "outcome"], {"dataset": "prospects", "column": "job", "positive": "admin"}]]),
        ("6-positive", "an outcome that is not declared", [[["rules", quality, "outcome", "positive"], "maybe"]]),
        ("6-grid", "a grid of one point", [[["rules", quality, "values", 0, "most"], 500]]),
        ("6-rows-to-another", "rows to one who does not own them", [[["rules", audience, "recipients"], ["operator"]]]),
        ("6-rows-to-the-author", "rows to the author of the code",
         [[["bundles", 0, "owner"], "partner"], [["purses", 1, "owner"], "partner"]]),
        ("6-too-large", "a release that could not be sealed", [[["datasets", 1, "most_rows"], 50_000_000]]),
        ("7-classes", "a simulated and a real platform", [
            [["platforms", 1], {**base["platforms"][0], "platform_class": "confidential-hardware"}]]),
        ("8-operator-owns-code", "the operator owns opaque code and nobody accepted that", [[["operator"], "bank"]]),
    ]  # fmt: skip
    yield "agreement/valid", vector("ok", "consistency", "nothing is changed", canonical.encode([]))
    accepted = [[["operator"], "bank"], [["accepts_covert_channel"], ["partner"]]]
    yield "agreement/valid-covert-channel", vector("ok", "consistency", "it was accepted", canonical.encode(accepted))
    for name, expect, comment, edits in schema_cases:
        yield f"agreement/{name}", vector(expect, "schema", comment, canonical.encode(edits))
    for name, comment, edits in consistency_cases:
        yield f"agreement/{name}", vector("E1.inconsistent", "consistency", comment, canonical.encode(edits))
