"""The command's way from a source to an exported file, against pandas alone on the source."""

from __future__ import annotations

import hashlib
import io
import json
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from otzyv.flows.command.read import vectors_of
from otzyv.tasks.extractors import registry
from tests.flows.command import Otzyv, command, review
from tests.oracle.source import CONTENTS

pytestmark = pytest.mark.usefixtures("without_prefect")

EXTRACTORS = "sentiment_mini,image_pixels"
TABLES = "reviews,attachments,clean_text,image_pixels"


def reviews(seed: int) -> list[dict[str, Any]]:
    """Reviews of two days with pictures and sounds, some edited, in any order."""
    random, found = Random(seed), []
    good = [uri for uri in CONTENTS if _pixels(uri) is not None]
    uris = [*good * 5, *CONTENTS, "files/nowhere.png"]  # a day with many bad ones would be held
    for number in range(400):
        name = str(UUID(int=random.getrandbits(128)))
        for edit in range(random.choice((1, 1, 2))):
            files = [{"kind": "image", "uri": random.choice(uris)} for _ in range(random.randrange(6))]
            changed = {"updated_at": f"2026-03-09T00:00:0{edit}Z"} if edit else {}
            day = f"2026-03-0{random.randrange(2) + 1}"
            found.append(review(name, f"отзыв {number} {edit}", day, attachments=files, **changed))
    random.shuffle(found)
    return found


@pytest.mark.parametrize("seed", [1])
def test_an_exported_file_is_what_pandas_makes_of_the_source(otzyv: Otzyv, seed: int) -> None:
    for name, data in CONTENTS.items():
        (otzyv.source / name).parent.mkdir(exist_ok=True)
        (otzyv.source / name).write_bytes(data)
    source = reviews(seed)
    otzyv.write("reviews.jsonl", source)
    otzyv.run(extractors=EXTRACTORS)

    newest = pd.DataFrame(source).sort_values("updated_at", na_position="first").groupby("review_id").tail(1)
    wanted = newest.set_index("review_id").sort_index()
    for suffix in (".parquet", ".csv"):
        out = otzyv.source.parent / f"out{suffix}"
        done = command("export", "--lake", otzyv.lake, "--tables", TABLES, "--out", out)
        assert done.exit_code == 0, done.stderr
        assert "image_pixels: embeddings are personal data" in done.stderr
        assert "words" not in done.stderr, "no text is among them"
        found = (pd.read_parquet(out) if suffix == ".parquet" else _read_csv(str(out))).set_index("review_id")
        assert list(found.index) == list(wanted.reset_index().sort_values(["created_at", "review_id"])["review_id"])
        found = found.sort_index()
        assert list(found["reviews.text"]) == list(wanted["text"])
        assert list(found["reviews.day"].astype(str)) == [at[:10] for at in wanted["created_at"]]
        for (_, row), (review_id, files) in zip(found.iterrows(), wanted["attachments"].items(), strict=True):
            uris = [file["uri"] for file in files]
            shas = [
                hashlib.sha256(CONTENTS[uri]).hexdigest() if uri.endswith(".png") and uri in CONTENTS else None
                for uri in uris
            ]
            assert _list(row["attachments.content_sha256"]) == shas, review_id
            assert _list(row["image_pixels.content_sha256"]) == shas, review_id
            assert _list(row["attachments.position"]) == list(range(len(uris))), review_id
            for vector, uri in zip(_list(row["image_pixels.embedding"]), uris, strict=True):
                pixels = _pixels(uri)
                assert (vector is None) == (pixels is None), (review_id, uri)
                if pixels is not None:
                    np.testing.assert_allclose(np.array(vector, np.float32), pixels, atol=1e-6)


def test_words_are_said_to_lie_in_vectors_of_texts_alone() -> None:
    for name in registry.names():
        card = registry.get(name).card
        of_text = (card.reads or card).modality in ("plain", "text")
        assert vectors_of(card.table) == (("text" if of_text else "other") if card.dim else None)
        if card.dim:
            assert vectors_of(registry.get(f"pca_{name}").card.table) == ("text" if of_text else "other")


def _read_csv(path: str) -> pd.DataFrame:
    """Lists as the file has them: JSON."""
    read = pd.read_csv(path, keep_default_na=False)
    for name in map(str, read.columns):
        if name.startswith(("attachments.", "image_pixels.")):
            read[name] = [json.loads(cell) if cell else None for cell in read[name]]
    return read


def _list(value: Any) -> list[Any]:
    """Of a review without attached files there is none."""
    return [] if value is None else list(value)


def _pixels(uri: str) -> Any:
    """Red, green and blue of a picture of 32 x 32 pixels, by Pillow; None of what is none."""
    try:
        picture = Image.open(io.BytesIO(CONTENTS.get(uri, b"")))
        return np.asarray(picture.convert("RGB"), np.float32).ravel() / 255
    except OSError:
        return None
