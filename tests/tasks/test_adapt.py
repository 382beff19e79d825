"""An encoder that goes on learning from the lake's reviews: it learns, survives a kill, and becomes an extractor."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from otzyv.tasks.adapt import NotAdaptable
from otzyv.tasks.adapt import adapt as adapt_task
from otzyv.tasks.extractors import get, names
from otzyv.tasks.extractors.extractor import REGISTERED, Extractor
from otzyv.tasks.extractors.fitted import TooLittle
from otzyv.tasks.extractors.text import bert
from otzyv.tasks.lake import Lake
from otzyv.tasks.models import store
from otzyv.tasks.models.weights import File, Weights
from otzyv.tasks.pipeline.cleaning import CLEANING
from otzyv.tasks.pipeline.make import make
from otzyv.tasks.training.masked_language import FILES, Training
from tests.tasks.extractors.test_bert import tiny
from tests.tasks.reviews import bring

DAY = date(2026, 3, 1)
TRAINING = Training(epochs=4, rate=5e-3, max_tokens=32, checkpoint_steps=8)
adapt = adapt_task.fn


def base(store_folder: Path) -> Extractor:
    """A tiny BERT, pre-training head and all, in the model store under its name."""
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForMaskedLM, set_seed

    folder = store_folder / "text_tiny"
    folder.mkdir(parents=True, exist_ok=True)
    tiny(folder)
    words = len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    set_seed(3)
    config = BertConfig(
        vocab_size=words, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64,
    )  # fmt: skip
    model = BertForMaskedLM(config)
    state = {key: value for key, value in model.state_dict().items() if "decoder" not in key}
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")
    config.to_json_file(folder / "config.json")
    files = tuple(File(name, store.sha256(folder / name)) for name in FILES)
    card = dataclasses.replace(
        bert.RUBERT_TINY2, name="text_tiny", dim=32, weights=(Weights("test", "1", "none", files),),
        settings=(("max_tokens", 64), ("pooling", "mean")),
    )  # fmt: skip
    return Extractor(card, bert.bert)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """More would wait for one another over so small a network."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path / "models"))
    monkeypatch.setitem(REGISTERED, "text_tiny", base(tmp_path / "models"))
    made = Lake.create(tmp_path / "lake")
    lot = random.Random(5)
    words = ["курс", "ужас", "урок", "хорош", "плох", "и", "очень"]
    bring(made, {DAY: {f"r{n}": " ".join(lot.choices(words, k=6)).capitalize() for n in range(60)}})
    make(made, CLEANING, DAY)
    return made


def test_it_guesses_held_out_reviews_better_than_before_and_is_an_extractor(lake: Lake) -> None:
    made = adapt(lake.uri, "text_tiny", "text_reviews", training=TRAINING)
    curve = made.curve
    assert [point.step for point in curve.points] == [0, 7, 14, 21, 28]
    assert curve.after < curve.before / 3
    assert (curve.trained, curve.held_out, curve.new_head) == (54, 6, False)
    assert {path.name for path in made.folder.iterdir()} == {*FILES, "adapted.json", "perplexity.svg"}
    picture = ElementTree.parse(made.plot).getroot()
    assert len(picture.findall(".//{*}circle")) == 5
    assert "text_reviews" in names()
    one, other = (make(lake, get(name), DAY) for name in ("text_reviews", "text_tiny"))
    assert (one.status, one.fingerprint != other.fingerprint) == ({"ok": 60}, True)
    vectors = [
        np.array(lake.read(get(name).card.table, DAY)["embedding"].to_pylist())
        for name in ("text_reviews", "text_tiny")
    ]
    assert (np.einsum("ij,ij->i", *vectors) < 0.99).all()  # of length 1: the same network would give 1
    again = adapt(lake.uri, "text_tiny", "text_reviews", training=TRAINING)
    assert (again.new, again.curve) == (False, curve)
    with pytest.raises(NotAdaptable, match="give another --name"):
        adapt(lake.uri, "text_tiny", "text_reviews", training=dataclasses.replace(TRAINING, epochs=1))
    further = adapt(lake.uri, "text_reviews", training=dataclasses.replace(TRAINING, epochs=1))
    assert further.name == "text_reviews_adapted"
    assert further.curve.before == pytest.approx(curve.after, rel=0.3)


PROGRAM = """
import sys
from pathlib import Path
from otzyv.tasks.extractors.extractor import REGISTERED
from tests.tasks.test_adapt import TRAINING, adapt, base
REGISTERED["text_tiny"] = base(Path(sys.argv[2]))
adapt(sys.argv[1], "text_tiny", "text_reviews", training=TRAINING)
"""


def test_killed_half_way_it_goes_on_from_its_checkpoint_to_the_same_end(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    command = [sys.executable, "-c", PROGRAM, lake.uri, str(models)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as victim:
        written = b""
        while victim.poll() is None and not written.strip().endswith(b"}"):  # its last file, to the end
            written = b"".join(p.read_bytes() for p in models.glob(".text_reviews.*/checkpoint-16/trainer_state.json"))
            time.sleep(0.002)
        os.kill(victim.pid, signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    assert not (models / "text_reviews").exists()
    (cut_off,) = models.glob(".text_reviews.*/")
    (cut_off / "checkpoint-99").mkdir()
    from otzyv.tasks import adapt as module

    begun: list[int] = []
    monkeypatch.setattr(module, "report_progress", lambda name, day, done, total: begun.append(done))
    resumed = adapt(lake.uri, "text_tiny", "text_reviews", training=TRAINING)
    assert begun[0] > 16
    whole = adapt(lake.uri, "text_tiny", "text_whole", training=TRAINING)
    assert resumed.curve == whole.curve
    weights = [(made.folder / "model.safetensors").read_bytes() for made in (resumed, whole)]
    assert weights[0] == weights[1]


def test_what_cannot_be_trained_is_said(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(NotAdaptable, match="these are: text_rubert_tiny2, text_tiny"):
        adapt(lake.uri, "text_navec")
    few = Lake.create(tmp_path / "few")
    bring(few, {DAY: {"a": "один"}})
    make(few, CLEANING, DAY)
    with pytest.raises(TooLittle, match="1 texts are too few"):
        adapt(few.uri, "text_tiny")
