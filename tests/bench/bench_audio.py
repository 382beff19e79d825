"""Sound features beside the obvious loops, and how well a linear model hears spoken digits in them."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import soundfile

from otzyv.tasks.extractors import get, names
from otzyv.tasks.extractors.audio.spectra import mfcc_statistics, spectrum
from otzyv.tasks.extractors.audio.speech import WAV2VEC2, speech
from otzyv.tasks.inference.torchvision_shim import load_torchvision
from otzyv.tasks.media.audio import decode_audio
from otzyv.tasks.media.inputs import AudioInput
from otzyv.tasks.models.store import MissingWeights, choose
from tests.bench.figure import Figure, alternate
from tests.tasks.extractors.networks import random_weights

SHARED = Path(__file__).parents[2].parent / "shared"
DIGITS, MODELS = SHARED / "data" / "audio" / "fsdd", SHARED / "models"
Floats = np.ndarray[Any, np.dtype[np.float32]]


def figures() -> Iterator[Figure]:
    yield _spectrum()
    yield _wav2vec2()
    if DIGITS.is_dir():
        with patch.dict(os.environ, {} if "OTZYV_MODELS" in os.environ else {"OTZYV_MODELS": str(MODELS)}):
            yield from _digits()


def _recordings(rate: int, lowest: float, longest: float, count: int) -> list[Floats]:
    """Voice-like sounds of different lengths: a buzz with overtones that rises and falls, and some noise."""
    random = np.random.default_rng(0)
    made = []
    for seconds in random.uniform(lowest, longest, count):
        time = np.arange(int(seconds * rate)) / rate
        pitch = 2 * np.pi * np.cumsum(random.uniform(90, 250) * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * time))) / rate
        buzz = np.sum([np.sin(k * pitch) / k for k in range(1, 12)], axis=0) * (0.5 + 0.5 * np.sin(9 * time)) ** 2
        made.append((0.1 * buzz + 0.005 * random.standard_normal(len(time))).astype(np.float32))
    return made


def _spectrum() -> Figure:
    import librosa

    files = []
    for samples in _recordings(48_000, 4, 12, 12):
        stream = io.BytesIO()
        soundfile.write(stream, samples, 48_000, format="WAV", subtype="PCM_16")
        files.append(stream.getvalue())

    def ours() -> Floats:
        spectra = [spectrum(decode_audio(file, AudioInput())) for file in files]
        rows = [[mfcc_statistics(bands), bands.mean(axis=0), bands.std(axis=0)] for bands in spectra]
        return np.array([np.concatenate(row) for row in rows])

    def obvious() -> Floats:
        shape: dict[str, int] = {"sr": 16_000, "n_fft": 400, "hop_length": 160, "n_mels": 40}
        rows = []
        for file in files:
            samples, _ = librosa.load(io.BytesIO(file), sr=16_000)
            coefficients = librosa.feature.mfcc(y=samples, n_mfcc=20, **shape)
            series = [coefficients, *(librosa.feature.delta(coefficients, order=order) for order in (1, 2))]
            bands = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, **shape))
            rows.append([f(part, axis=1) for f in (np.mean, np.std) for part in series])
            rows[-1] += [bands.mean(axis=1), bands.std(axis=1)]
        return np.array([np.concatenate(row) for row in rows])

    difference = np.abs(ours() - obvious()).max()
    mine, other, ratio = alternate(ours, obvious)
    return Figure(
        "MFCC and log-mel statistics from one spectrum, decoding included, of the librosa loop",
        ratio,
        ">= 1.3",
        f"12 WAV of 4-12 s at 48 kHz: {mine:.3f} s, librosa {other:.3f} s (warm; its start not counted); "
        f"largest difference of a feature {difference:.1e}",
    )


def _wav2vec2() -> Figure:
    load_torchvision()
    import torch
    from transformers import Wav2Vec2Model

    with tempfile.TemporaryDirectory() as root, patch.dict(os.environ, OTZYV_MODELS=root):
        run = speech(WAV2VEC2, random_weights(WAV2VEC2))
        network = Wav2Vec2Model.from_pretrained(Path(root) / WAV2VEC2.name).eval()
    recordings = _recordings(16_000, 3, 7, 4)

    def ours() -> Floats:
        return np.asarray(run(recordings))

    def plain() -> Floats:
        rows = []
        with torch.inference_mode():
            for samples in recordings:
                normalised = torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))
                rows.append(network(normalised[None]).last_hidden_state.mean(dim=1)[0].numpy())
        return np.array(rows)

    one, other = ours(), plain()
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    mine, theirs, ratio = alternate(ours, plain)
    seconds = sum(map(len, recordings)) / 16_000
    return Figure(
        "audio_wav2vec2 of plain transformers in float32",
        ratio,
        ">= 2.2",
        f"4 recordings of 3-7 s, random weights: {seconds / mine:.1f} x real time, plain {seconds / theirs:.1f} x; "
        f"worst cosine {cosine.min():.5f}",
    )


def _digits() -> Iterator[Figure]:
    """A linear probe of every audio extractor whose weights are here, on a speaker it has not heard."""
    paths = sorted(DIGITS.glob("*.wav"))
    recordings = [decode_audio(path.read_bytes(), AudioInput()) for path in paths]
    digits, speakers = np.array([path.stem.split("_")[:2] for path in paths]).T
    for name in names():
        card = get(name).card
        if card.modality != "audio":
            continue
        try:
            run = get(name).load(card, choose(card))
        except MissingWeights:
            continue
        found = run(recordings)
        features = np.column_stack(found.columns) if isinstance(found, pa.RecordBatch) else found
        scores = _probe(features, digits, speakers)
        each = ", ".join(f"{speaker} {score:.2f}" for speaker, score in scores.items())
        yield Figure(
            f"digits of a speaker never heard, linear probe of {name}",
            sum(scores.values()) / len(scores),
            "",
            f"{len(paths)} recordings, {features.shape[1]} features; left out: {each}; chance is 0.1",
            unit="macro-F1",
        )


def _probe(features: Floats, labels: Floats, groups: Floats) -> dict[str, float]:
    """Macro-F1 on each group by a logistic regression on standardised features of the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = {}
    for group in sorted(set(groups)):
        heard = groups != group
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
        guessed = model.fit(features[heard], labels[heard]).predict(features[~heard])
        scores[str(group)] = float(f1_score(labels[~heard], guessed, average="macro"))
    return scores
