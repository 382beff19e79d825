"""How ``sentiment_mini`` is made: a fastText model with dostoevsky's five labels, small enough to ship.

Data: ru-goemotions (searayeah/ru-goemotions, MIT: 28 emotions of comments machine-translated to Russian), its emotions
mapped to polarity, and ``sentiment_examples.csv``, written for this project: reviews of courses, greetings, and the
label ``skip``, which ru-goemotions lacks. Text is put in the plain form that the extractor reads.

A first fit knows too few words: of a review of a course a third is new to it. So the words start from navec's vectors
(natasha's package, MIT; see sentiment_vectors.py). Five labels then need no more than five dimensions, for what
fastText learns is a linear model whose rank is the number of its labels: after training, the input matrix is multiplied
by the output matrix, which changes no prediction. That leaves 20 bytes a row, and nothing lost. Quantized, a row has 6,
but the room this makes for more n-grams brings nothing.

The written examples are judged as reviews are: praise that ends in thanks is positive, nothing but thanks is speech,
praise and blame in balance are neutral. No two of them are nearly the same (a test holds it), so that what is held out
is not learned from its double.

Also tried by hand, without a gain: the sum of five seeds, word dropout (which lost 0.02 of macro-F1), rows with two
labels where thanks come with praise, two or three examples of a label joined to a longer one, and, outside fastText,
logistic regression on the same features (0.655 where fastText has 0.657), also with the weights of a negated word
turned round in the features of "не" and that word (which lost 0.02 to 0.09).
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from otzyv.schemas.errors import InvalidInput

LABELS = ("negative", "neutral", "positive", "skip", "speech")
LARGEST = 3_000_000
"""Bytes that the shipped model may have."""
FOLDS = 3
EXAMPLES = Path(__file__).with_name("sentiment_examples.csv")

_POLARITY = {
    "positive": "admiration amusement approval caring desire excitement joy love optimism pride relief",
    "negative": "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse "
    "sadness",
    "speech": "gratitude",
    "neutral": "confusion curiosity realization surprise neutral",
}
POLARITY = {emotion: label for label, emotions in _POLARITY.items() for emotion in emotions.split()}
"""The 28 emotions; their alphabetical order, with ``neutral`` last, is ru-goemotions' numbering."""
_EMOTIONS = (*sorted(POLARITY.keys() - {"neutral"}), "neutral")

_REPLACED = re.compile(
    r"https?://\S+|www\.\S+"  # links
    r"|(?<!\w)(?:@\w+|/?[ru]/\w+)"  # handles: @name, u/name, r/name
    r"|\[[A-ZА-ЯЁ]+\]"  # GoEmotions' own masks: [ИМЯ], [РЕЛИГИЯ]
)


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text in plain form."""

    text: str
    label: str
    written: bool
    """Written for this project, not from ru-goemotions."""

    @property
    def held_out(self) -> bool:
        """Never trained on: 15 in 100, decided by the text alone, so that a text stays on its side for ever."""
        return _bucket(self.text, 20) < 3


@dataclass(frozen=True, slots=True)
class Settings:
    """fastText's settings, and how often a row of a kind is repeated (1.5: every second row twice)."""

    loss: Literal["ova", "softmax"] = "ova"
    dim: int = 200
    epoch: int = 10
    lr: float = 0.05
    minn: int = 3
    maxn: int = 5
    word_ngrams: int = 3
    bucket: int = 150_000
    vectors: float = 10
    """Mean length of navec's vectors that words start from; 0: start from noise."""
    extra: int = 22_000
    """How many words that no training text has are taken over from navec."""
    negative: float = 1
    neutral: float = 0.7
    speech: float = 2
    written: float = 4
    quantize: bool = True
    """Keep 8 bits of a number, after multiplying the matrices."""


_BASE = Settings()
CANDIDATES = (
    _BASE,
    Settings(vectors=5),
    Settings(dim=100, vectors=20),
    Settings(vectors=0, dim=16, lr=0.2),
    Settings(lr=0.07),
    Settings(extra=0),
    Settings(word_ngrams=1),
    Settings(minn=2),
    Settings(minn=0, maxn=0),
    Settings(written=2),
    Settings(written=8),
    Settings(neutral=1),
    Settings(negative=1.5),
    Settings(quantize=False, bucket=40_000),
)
"""What ``train`` compares."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How well a model does on rows it has not seen. ``f1`` holds the labels that occur in them."""

    rows: int
    accuracy: float
    macro_f1: float
    f1: dict[str, float]


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate: its cross-validated scores on ru-goemotions' rows and on the project's own, and its size."""

    settings: Settings
    scores: Scores
    written: Scores
    bytes: int

    @property
    def worth(self) -> float:
        """The mean of both macro-F1: what is judged are reviews of courses, but only ru-goemotions is many."""
        return (self.scores.macro_f1 + self.written.macro_f1) / 2


@dataclass(frozen=True, slots=True)
class Report:
    """What was made. ``held_out`` is measured on ru-goemotions' rows, ``held_out_written`` on the project's own."""

    model: Path
    card: Path
    sha256: str
    bytes: int
    settings: Settings
    held_out: Scores
    held_out_written: Scores
    tried: tuple[Trial, ...]


def plain(text: str) -> str:
    """Lower case, ё as е, nothing but letters and digits with one blank between words."""
    kept = "".join(letter if letter.isalnum() else " " for letter in text.lower().replace("ё", "е"))
    return " ".join(kept.split())


def polarity(emotions: Iterable[str]) -> str | None:
    """The label of a comment with these emotions; None where they contradict one another.

    Thanks are speech even where praise goes with them; an emotion counts more than ``neutral`` beside it.
    """
    labels = {POLARITY[emotion] for emotion in emotions}
    if "negative" in labels and labels & {"positive", "speech"}:
        return None
    return next((label for label in ("negative", "speech", "positive") if label in labels), "neutral")


def examples(data: Sequence[Path], clean: Callable[[str], str] = plain) -> list[Example]:
    """All examples of ru-goemotions' CSV files (or folders of them) and the project's own, each text once.

    Raises ValueError where there is no file, or one has not the columns ``ru_text`` and ``labels``.
    """
    from otzyv.tasks.inference.dostoevsky_tokens import ChunkTokenizer

    line = ChunkTokenizer().line
    found: dict[str, Example] = {}
    for text, label, written in (*_written(), *_ru_goemotions(data)):
        seen = line(clean(_REPLACED.sub(" ", text)))
        if seen:
            found.setdefault(seen, Example(seen, label, written))
    return list(found.values())


def train(
    data: Sequence[Path],
    out: Path,
    *,
    clean: Callable[[str], str] = plain,
    candidates: Sequence[Settings] = CANDIDATES,
    largest: int = LARGEST,
) -> Report:
    """Compare the candidates, fit the chosen one, write the model to ``out`` and its card beside it (``.json``).

    Each candidate is cross-validated on what is not held out. Chosen is the one of most worth that has one-vs-all
    scores and at most ``largest`` bytes. The same data and candidates give the same bytes. Raises ValueError for data
    that can't be read, or if no candidate fits.
    """
    every = examples(data, clean)
    known = [example for example in every if not example.held_out]
    unseen = [example for example in every if example.held_out]
    tried = tuple(_try(known, settings) for settings in candidates)
    fits = [trial for trial in tried if trial.settings.loss == "ova" and trial.bytes <= largest]
    if not fits:
        raise InvalidInput(f"no candidate has loss 'ova' and at most {largest:,} bytes")
    chosen = max(fits, key=lambda trial: trial.worth)
    model = _fit(known, chosen.settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    model.save_model(str(out))
    written = out.read_bytes()
    report = Report(
        model=out,
        card=out.with_suffix(".json"),
        sha256=hashlib.sha256(written).hexdigest(),
        bytes=len(written),
        settings=chosen.settings,
        held_out=_scores(*_judge(model, [example for example in unseen if not example.written])),
        held_out_written=_scores(*_judge(model, [example for example in unseen if example.written])),
        tried=tried,
    )
    card = json.dumps(_card(report, data, every, largest), ensure_ascii=False, indent=1)
    report.card.write_text(card + "\n", encoding="utf-8")
    return report


def _bucket(text: str, buckets: int, salt: str = "") -> int:
    return int.from_bytes(hashlib.sha256((salt + text).encode()).digest()[:8]) % buckets


def _written() -> Iterator[tuple[str, str, bool]]:
    with EXAMPLES.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield row["text"], row["label"], True


def _files(data: Sequence[Path]) -> list[Path]:
    files = [file for path in data for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
    if not files:
        raise InvalidInput(f"no .csv file of ru-goemotions in {', '.join(map(str, data)) or 'the data given'}")
    return files


def _ru_goemotions(data: Sequence[Path]) -> Iterator[tuple[str, str, bool]]:
    for path in _files(data):
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream)
            if not {"ru_text", "labels"} <= set(rows.fieldnames or ()):
                raise InvalidInput(f"{path}: ru-goemotions has the columns ru_text and labels, not {rows.fieldnames}")
            for row in rows:
                label = polarity(_EMOTIONS[int(number)] for number in re.findall(r"\d+", row["labels"]))
                if label is not None:
                    yield row["ru_text"], label, False


def _repeated(rows: Sequence[Example], settings: Settings) -> list[Example]:
    chance = random.Random(0)  # noqa: S311  # the same rows each time
    times = {"negative": settings.negative, "neutral": settings.neutral, "speech": settings.speech}
    repeated = []
    for row in rows:
        weight = settings.written if row.written else times.get(row.label, 1.0)
        repeated += [row] * (int(weight) + (chance.random() < weight % 1))
    chance.shuffle(repeated)
    return repeated


def _fit(rows: Sequence[Example], settings: Settings) -> Any:
    import fasttext

    from otzyv.tasks.extractors.text.sentiment_vectors import write_vectors

    with tempfile.TemporaryDirectory() as folder:
        lines, vectors = Path(folder, "lines.txt"), Path(folder, "vectors.vec")
        lines.write_text("".join(f"__label__{row.label} {row.text}\n" for row in _repeated(rows, settings)), "utf-8")
        if settings.vectors:
            texts, labels = [row.text for row in rows], [row.label for row in rows]
            write_vectors(vectors, texts, labels, dim=settings.dim, scale=settings.vectors, extra=settings.extra)
        model = fasttext.train_supervised(
            input=str(lines), loss=settings.loss, dim=settings.dim, epoch=settings.epoch, lr=settings.lr,
            minn=settings.minn, maxn=settings.maxn, wordNgrams=settings.word_ngrams, bucket=settings.bucket,
            minCount=2 if settings.vectors else 1, pretrainedVectors=str(vectors) if settings.vectors else "",
            thread=1, seed=1, verbose=0,
        )  # fmt: skip
    output = model.get_output_matrix()
    model.set_matrices(model.get_input_matrix() @ output.T, np.eye(len(output)))
    if settings.quantize:
        model.quantize(qnorm=True, dsub=1, thread=1)
    return model


def _judge(model: Any, rows: Sequence[Example]) -> tuple[list[str], list[str]]:
    """What is true of the rows, and what the model says of them."""
    labels, _ = model.predict([row.text for row in rows], k=1)
    return [row.label for row in rows], [label.removeprefix("__label__") for (label,) in labels]


def _try(known: Sequence[Example], settings: Settings) -> Trial:
    size = 0
    judged: dict[bool, tuple[list[str], list[str]]] = {False: ([], []), True: ([], [])}
    for fold in range(FOLDS):
        model = _fit([row for row in known if _bucket(row.text, FOLDS, "fold") != fold], settings)
        for written, (truth, said) in judged.items():
            rows = [r for r in known if r.written is written and _bucket(r.text, FOLDS, "fold") == fold]
            for all_of_them, these in zip((truth, said), _judge(model, rows), strict=True):
                all_of_them += these
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            model.save_model(file.name)
            size = max(size, Path(file.name).stat().st_size)
    return Trial(settings, _scores(*judged[False]), _scores(*judged[True]), size)


def _scores(truth: Sequence[str], said: Sequence[str]) -> Scores:
    hits, true, claimed = Counter(t for t, s in zip(truth, said, strict=True) if t == s), Counter(truth), Counter(said)
    f1 = {label: 2 * hits[label] / (true[label] + claimed[label]) for label in LABELS if true[label]}
    return Scores(
        rows=len(truth),
        accuracy=round(hits.total() / max(len(truth), 1), 4),
        macro_f1=round(sum(f1.values()) / max(len(f1), 1), 4),
        f1={label: round(value, 4) for label, value in f1.items()},
    )


def _card(report: Report, data: Sequence[Path], every: Sequence[Example], largest: int) -> dict[str, Any]:
    counts = Counter((row.written, row.label) for row in every)
    rows = [{label: counts[written, label] for label in LABELS if counts[written, label]} for written in (False, True)]
    return {
        "name": "sentiment_mini",
        "file": report.model.name,
        "sha256": report.sha256,
        "bytes": report.bytes,
        "date": datetime.now(UTC).date().isoformat(),
        "licence": "MIT: trained on ru-goemotions, Copyright (c) 2023 SL, and on texts of this project (Apache-2.0)",
        "labels": LABELS,
        "data": [
            {
                "source": "searayeah/ru-goemotions, Russian by machine from google-research GoEmotions (Apache-2.0)",
                "licence": "MIT",
                "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(data)},
                "rows": rows[0],
                "mapping": _POLARITY,
            },
            {"source": "navec_news_v1 in natasha's package: word vectors to start from", "licence": "MIT"},
            {"source": EXAMPLES.name, "licence": "Apache-2.0", "rows": rows[1]},
        ],
        "settings": dataclasses.asdict(report.settings),
        "held_out": {
            "rule": "15 in 100 texts by their sha256, never trained on; comments with contradicting emotions left out; "
            "no two written texts of a label share 0.6 of their character 3-grams, skip's noise aside",
            "ru_goemotions": dataclasses.asdict(report.held_out),
            "self_written": dataclasses.asdict(report.held_out_written),
        },
        "tried": {
            "rule": f"{FOLDS}-fold on what is not held out; chosen: one-vs-all, at most {largest} bytes, the highest "
            "mean of macro-F1 on ru_goemotions and on self_written",
            "base": dataclasses.asdict(_BASE),
            "candidates": [
                {
                    "settings": _changed(trial.settings),
                    "bytes": trial.bytes,
                    "ru_goemotions": dataclasses.asdict(trial.scores),
                    "self_written": dataclasses.asdict(trial.written),
                }
                for trial in report.tried
            ],
        },
        "limits": "Learned from short comments machine-translated from English and from reviews that one hand wrote. "
        "Irony, rare negations and long reviews that praise and blame are often misread; skip rests on few examples. "
        "Scores are one-vs-all: they need not sum to 1 and may reach 1.00001.",
    }


def _changed(settings: Settings) -> dict[str, Any]:
    """What sets these settings apart from the base."""
    base = dataclasses.asdict(_BASE)
    return {name: value for name, value in dataclasses.asdict(settings).items() if value != base[name]}
