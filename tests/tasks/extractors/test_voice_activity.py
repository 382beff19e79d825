"""silero-vad hears speech where there is some; its probabilities are divided into stretches as its makers do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from otzyv.tasks.extractors.audio.voice_activity import CARD, Floats, audio_silero_vad, describe, stretches
from otzyv.tasks.media.audio import decode_audio
from otzyv.tasks.models.store import MissingWeights, WrongWeights, choose
from tests.tasks.extractors.test_decode_audio import AUDIO, SPEC

SHARED = AUDIO.parents[1] / "models"
Listen = Callable[[list[Floats]], pa.RecordBatch]


@pytest.fixture(scope="module")
def listen() -> Listen:
    with pytest.MonkeyPatch.context() as patch:
        if "OTZYV_MODELS" not in os.environ and SHARED.exists():
            patch.setenv("OTZYV_MODELS", str(SHARED))
        try:
            run = audio_silero_vad(CARD, choose(CARD))
        except MissingWeights:
            pytest.skip("its weights are not in the model store")

    def batch(recordings: list[Floats]) -> pa.RecordBatch:
        rows = run(recordings)
        assert isinstance(rows, pa.RecordBatch)
        return rows

    return batch


VOWELS = ((730, 1_090, 2_440), (270, 2_290, 3_010), (300, 870, 2_240), (530, 1_840, 2_480))
"""Hertz of the first three formants of a, i, u, e (Peterson, Barney 1952)."""


def babble(syllables: int) -> Floats:
    """Speech without words: a hiss and a vowel of 0.2 s in turn, and a pause of 0.4 s after every fifth."""
    random = np.random.default_rng(0)
    parts = []
    for syllable in range(syllables):
        pulses = np.diff(np.floor(np.cumsum(np.linspace(120, 100, 3_200)) / 16_000), prepend=0.0)
        vowel = pulses + 0.01 * random.standard_normal(3_200)
        for hertz, width in zip(VOWELS[syllable % 4], (80, 90, 120), strict=True):
            decay = np.exp(-np.pi * width / 16_000)
            vowel = lfilter([1], [1, -2 * decay * np.cos(2 * np.pi * hertz / 16_000), decay**2], vowel)
        swell = np.sqrt(np.sin(np.linspace(0, np.pi, 3_200)))
        parts += [0.05 * np.hanning(960) * random.standard_normal(960), vowel / np.abs(vowel).max() * swell]
        parts += [np.zeros(6_400)] if syllable % 5 == 4 else []
    return np.asarray(0.3 * np.concatenate(parts), np.float32)


def test_golden_values(listen: Listen) -> None:
    (row,) = listen([babble(10)]).to_pylist()
    assert [column.name for column in CARD.columns] == list(row)
    golden = [3.4000, 0.7762, 0.7664, 2, 1.3440, 0.3520, 0.0640]
    np.testing.assert_allclose(list(row.values()), golden, atol=1e-4)


@pytest.mark.skipif(not AUDIO.is_dir(), reason="needs ../shared/data/audio")
@pytest.mark.parametrize(
    ("file", "least", "most"),
    [
        ("silero/test.wav", 0.7, 0.85),
        ("silero/test.mp3", 0.9, 1),
        ("russian/ru.wav", 0.4, 0.9),
        ("silero/test.opus", 0, 0),
    ],
)
def test_real_speech_is_heard_and_real_noise_is_not_taken_for_it(
    listen: Listen, file: str, least: float, most: float
) -> None:
    (row,) = listen([decode_audio((AUDIO / file).read_bytes(), SPEC)]).to_pylist()
    assert least <= row["speech_share"] <= most
    assert (row["stretches"] > 0) == (least > 0)


@given(st.integers(1, 1_100))
def test_the_last_step_may_be_short(listen: Listen, length: int) -> None:
    (row,) = listen([babble(1)[:length]]).to_pylist()
    assert row["seconds"] == pytest.approx(length / 16_000)
    assert 0 <= row["probability"] <= 1


# A letter is a step of 32 ms: # speech (0.9), ~ neither (0.4), . no speech (0.1).
@pytest.mark.parametrize(
    ("heard", "found"),
    [
        ("", []),
        ("..........", []),
        ("########", [(0, 8)]),
        (".#########", [(1, 10)]),
        ("..########.....", [(2, 10)]),
        ("..#######.....", []),  # 0.224 s
        ("..########....########.....", [(2, 22)]),  # low again 0.096 s after it fell
        ("..########.....########.....", [(2, 10), (15, 23)]),  # and 0.128 s
        ("..########.~~~.########.....", [(2, 10), (15, 23)]),
        ("..########.~~~~########.....", [(2, 23)]),
        ("..########~~~~~~~~~~~~", [(2, 22)]),
        ("~~########~~~~~~########.....", [(2, 24)]),
        ("..########...", [(2, 13)]),  # the recording ends before the stretch does
    ],
)
def test_probabilities_are_divided_into_stretches(heard: str, found: list[tuple[int, int]]) -> None:
    levels = np.array([{"#": 0.9, "~": 0.4, ".": 0.1}[letter] for letter in heard], np.float32)
    assert stretches(512 * len(heard), levels) == [(512 * begin, 512 * end) for begin, end in found]


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=200), st.integers(0, 511))
def test_figures_of_a_recording_fit_together(levels: list[float], missing: int) -> None:
    samples = 512 * len(levels) - missing
    row = describe(samples, np.array(levels, np.float32))
    assert row["seconds"] == samples / 16_000
    assert row["first_speech"] + row["longest_stretch"] + row["longest_pause"] <= row["seconds"] + 1e-9
    assert (row["stretches"] == 0) == (row["longest_stretch"] == 0) == (row["first_speech"] == row["seconds"])
    assert 0 <= row["speech_share"] <= 1


def test_only_the_file_of_the_card_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTZYV_MODELS", str(tmp_path))
    (tmp_path / CARD.name).mkdir()
    (tmp_path / CARD.name / "silero_vad.onnx").write_bytes(b"another")
    with pytest.raises(WrongWeights, match=r"silero_vad\.onnx has sha256"):
        audio_silero_vad(CARD, CARD.weights[0])


def test_onnxruntime_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    program = "from otzyv.tasks.inference.network import load_onnxruntime as load; "
    program += "load().SessionOptions(); load().get_device()"
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=Path(__file__).parents[3])
    assert list(tmp_path.iterdir()) == []
