"""An archive carries weights whole and checked; a made-up one changes nothing outside what cards name."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.models.archive import MANIFEST, BadArchive, read, write
from otzyv.tasks.models.fetch import pull
from otzyv.tasks.models.store import MissingWeights, UnpinnedWeights, WrongWeights, locate
from otzyv.tasks.models.weights import File, Weights

CONTENTS = {"model.bin": bytes(range(256)) * 9_000, "config.json": b"{}"}
SHA = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}


def card(name: str = "text_net", **sha256: str) -> Card:
    files = tuple(File(file, sha256.get(file.split(".")[0], SHA[file])) for file in CONTENTS)
    other = Weights("elsewhere", "1", "MIT", (File("model.bin", "f" * 64), File("config.json", "e" * 64)))
    weights = (other, Weights("somewhere", "1", "MIT", files))
    return Card(name=name, version=1, modality="text", doc="", licence="", source="", dim=1, weights=weights)


def named(*cards: Card) -> Callable[[str], Card]:
    known = {card.name: card for card in cards}

    def look_up(name: str) -> Card:
        if name not in known:
            raise LookupError(f"no extractor {name!r}")
        return known[name]

    return look_up


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The second machine's, empty."""
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "there"))
    return tmp_path / "there"


@pytest.fixture
def sent(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of two extractors, made on a first machine."""
    for name in ("text_net", "text_own"):
        (tmp_path / "here" / name).mkdir(parents=True)
        for file, content in CONTENTS.items():
            (tmp_path / "here" / name / file).write_bytes(content)
    with monkeypatch.context() as first:
        first.setenv("OTZYV_MODELS", str(tmp_path / "here"))
        pull("text_own", one_set(card("text_own", model="")).weights[0], unpinned=True)
        cards = [one_set(card()), one_set(card("text_own", model=""))]
        assert write(cards, tmp_path / "weights.tar") == ("text_net", "text_own")
        assert write(cards, tmp_path / "again.tar") == ("text_net", "text_own")
    assert (tmp_path / "weights.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()
    return tmp_path / "weights.tar"


def one_set(card: Card) -> Card:
    return Card(name=card.name, version=1, modality="text", doc="", licence="", source="", dim=1,
                weights=card.weights[1:])  # fmt: skip


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(folder)) for path in found}


def made_up(archive: Path, manifest: object, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(archive, "w") as tar:
        content = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        for member, data in ((named_member(MANIFEST, len(content)), content), *members):
            tar.addfile(member, io.BytesIO(data))
    return archive


def named_member(name: str, size: int, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    for field, value in fields.items():
        setattr(member, field, value)
    return member


FILES = {name: {"sha256": SHA[name], "bytes": len(content)} for name, content in CONTENTS.items()}
LISTED = {"text_net": FILES}
GOOD = tuple((named_member(f"text_net/{name}", len(content)), content) for name, content in CONTENTS.items())


def test_what_was_exported_is_imported_checked_and_recorded(sent: Path, store: Path) -> None:
    own = one_set(card("text_own", model=""))
    with pytest.raises(UnpinnedWeights, match=f"`otzyv models import {sent} --allow-unpinned text_own` allows it once"):
        read(sent, named(card(), own))
    assert not files(store)
    assert read(sent, named(card(), own), unpinned=("text_own",)) == ("text_net", "text_own")
    for name in ("text_net", "text_own"):
        assert {file: (store / name / file).read_bytes() for file in CONTENTS} == CONTENTS
    assert locate("text_own", own.weights[0])
    recorded = (store / "text_own" / "model.bin.sha256").read_text()
    assert recorded == f"{SHA['model.bin']}  model.bin\n"
    read(sent, named(card(), own))  # a second time changes nothing
    (store / "text_own" / "model.bin.sha256").write_text("0" * 64)
    with pytest.raises(WrongWeights, match="at its first fetch"):
        read(sent, named(card(), own))


def test_what_is_not_in_the_store_or_not_as_named_is_not_exported(store: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights):
        write([card()], tmp_path / "weights.tar")
    inside = Weights("package:json", "1", "PSF", (File("decoder.py", ""),))
    packaged = Card(name="p", version=1, modality="text", doc="", licence="", source="", dim=1, weights=(inside,))
    assert write([packaged], tmp_path / "weights.tar") == ()
    assert read(tmp_path / "weights.tar", named()) == ()
    assert files(tmp_path) == {"weights.tar"}


SIZE = len(CONTENTS["model.bin"])
ATTACKS = {
    "it holds '../../escaped' where": (LISTED, ((named_member("../../escaped", 1), b"x"),)),
    "it holds '/tmp/escaped' where": (LISTED, ((named_member("/tmp/escaped", 1), b"x"),)),
    "no extractor '..'": ({"..": {"escaped": FILES["model.bin"]}}, ()),
    "names other files than ../escaped": ({"text_net": {"../escaped": FILES["model.bin"]}}, ()),
    "names other files than model.bin,": ({"text_net": {"model.bin": FILES["model.bin"]}}, GOOD[:1]),
    "'text_net/model.bin' is not a plain file": (
        LISTED, ((named_member("text_net/model.bin", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""),)
    ),
    "'text_net/model.bin' is not a plain": (
        LISTED, ((named_member("text_net/model.bin", 0, type=tarfile.LNKTYPE, linkname=MANIFEST), b""),)
    ),
    "'text_net/model.bin' is not a": (LISTED, ((named_member("text_net/model.bin", 0, type=tarfile.FIFOTYPE), b""),)),
    f"'text_net/model.bin' has {SIZE + 1:,} bytes": (
        LISTED, ((named_member("text_net/model.bin", SIZE + 1), CONTENTS["model.bin"] + b"x"),)
    ),
    "'text_net/model.bin' has sha256": (LISTED, ((named_member("text_net/model.bin", SIZE), bytes(SIZE)),)),
    "it ends before 'text_net/config.json'": (LISTED, GOOD[:1]),
    "it holds 'more', which": (LISTED, (*GOOD, (named_member("more", 1), b"x"))),
    "or of another size or sha256": (
        {"text_net": {**FILES, "config.json": {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}}}, ()
    ),
    "its manifest can't be read": (b"[1, 2]", ()),
    "its manifest can't be": ({"text_net": {"model.bin": {"sha256": SHA["model.bin"], "bytes": "much"}}}, ()),
    "its manifest has 2,000,000 bytes": (b" " * 2_000_000, ()),
    "it is nested too deep": (b"[" * 900_000, ()),
    "it has a header of 1,234 bytes": (
        LISTED, ((named_member("././@LongLink", 1234, type=tarfile.GNUTYPE_LONGNAME), b"x" * 1234),)
    ),
    "it has a header of 999,999 bytes": (LISTED, ((named_member("x", 999_999, type=tarfile.XHDTYPE), b"x" * 999_999),)),
}  # fmt: skip


@pytest.mark.parametrize("said", ATTACKS)
def test_an_archive_that_is_not_one_of_ours_leaves_the_store_as_it_was(said: str, store: Path, tmp_path: Path) -> None:
    listed, members = ATTACKS[said]
    archive = made_up(tmp_path / "weights.tar", listed, *members)
    with pytest.raises(BadArchive) as error:
        read(archive, named(card()))
    assert said in str(error.value)
    assert str(archive) in str(error.value)
    assert files(tmp_path) == {"weights.tar"}


def test_headers_of_headers_without_end_are_refused_at_once(store: Path, tmp_path: Path) -> None:
    told = b"20 path=text_net/xx\n"
    header = named_member("x", len(told), type=tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
    archive = tmp_path / "weights.tar"
    archive.write_bytes((header + told.ljust(512, b"\0")) * 5000)
    with pytest.raises(BadArchive, match="nested too deep"):
        read(archive, named(card()))
    assert not files(store)


def test_a_torn_archive_and_one_of_another_kind_are_refused(sent: Path, store: Path, tmp_path: Path) -> None:
    whole = sent.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive" * 1000, whole[:700]):
        sent.write_bytes(content)
        with pytest.raises(BadArchive):
            read(sent, named(card(), one_set(card("text_own", model=""))), unpinned=("text_own",))
        assert not files(store)
    with tarfile.open(sent, "w:gz") as tar:
        tar.addfile(named_member(MANIFEST, 2), io.BytesIO(b"{}"))
    with pytest.raises(BadArchive):
        read(sent, named(card()))


def test_a_file_that_two_extractors_share_is_carried_once(sent: Path, store: Path, tmp_path: Path) -> None:
    own = one_set(card())
    shared = dataclasses.replace(
        own, name="text_other", weights=(dataclasses.replace(own.weights[0], folder="text_net"),)
    )
    read(sent, named(card(), one_set(card("text_own", model=""))), unpinned=("text_own",))
    both = tmp_path / "both.tar"
    assert write([own, shared], both) == ("text_net", "text_other")
    with tarfile.open(both) as tar:
        assert tar.getnames() == [MANIFEST, "text_net/model.bin", "text_net/config.json"]
    assert read(both, named(own, shared)) == ("text_net", "text_other")
    assert locate("text_other", shared.weights[0]) == locate("text_net", own.weights[0])
