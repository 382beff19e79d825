"""Contents made up for tests: good ones of every modality, two or more that differ."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

from otzyv.tasks.extractors.card import Modality
from otzyv.tasks.extractors.loop import Content

TEXTS = (
    "отличный курс спасибо преподавателям за понятные объяснения",
    "задачи скучные видео обрываются деньги не вернули очень жаль",
    "курс как курс",
    "Ёлки-палки! Учил Python 3 недели, а на экзамене спросили про графы... 10/10",
)


Data = str | bytes | np.ndarray


def content(data: Data) -> Content:
    raw = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else data.tobytes()
    return Content(hashlib.sha256(raw).hexdigest(), len(data), lambda: data)


def contents(datas: Sequence[Data]) -> list[Content]:
    return [content(data) for data in datas]


@cache
def good(modality: Modality) -> tuple[str | bytes, ...]:
    """Different good contents of a modality."""
    if modality == "image":
        return image("PNG"), image("JPEG", seed=1), image("WEBP", seed=2), image("GIF", seed=3)
    if modality == "audio":
        return (
            audio("WAV"),
            audio("OGG", pitch=330.0),
            audio("FLAC", pitch=880.0, seconds=0.8),
            audio("M4A", pitch=550.0),
        )
    return TEXTS


@cache
def image(format: str, *, seed: int = 0, width: int = 120, height: int = 90) -> bytes:
    """A smooth picture with some noise, as a file of that format."""
    random = np.random.default_rng(seed)
    waves = np.indices((height, width)).T.swapaxes(0, 1) * random.uniform(0.02, 0.2, 2)
    colours = np.stack([np.sin(waves.sum(axis=2) + phase) for phase in random.uniform(0, 6, 3)], axis=2)
    pixels = np.clip(colours * 100 + 128 + random.normal(0, 8, colours.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


@cache
def audio(format: str, *, pitch: float = 220.0, seconds: float = 1.2, rate: int = 16_000) -> bytes:
    """A tone that swells, with overtones and some noise, as a file of that format."""
    time = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 2, 3))
    noise = np.random.default_rng(int(pitch)).normal(0, 0.02, time.size)
    samples = (0.3 * tone * time / seconds + noise).astype(np.float32)
    if format in CONTAINERS:
        return contained(samples, rate, *CONTAINERS[format])
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format)
    return file.getvalue()


CONTAINERS = {"M4A": ("ipod", "aac"), "MP4": ("mp4", "flac"), "WEBM": ("webm", "libopus")}
"""FFmpeg's names of a container and of a coding in it."""


LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1")


def contained(
    samples: np.ndarray[Any, Any], rate: int, container: str, coding: str, options: dict[str, str] | None = None
) -> bytes:
    """float32 (n,) or (n, up to 6 channels) as the only track of a file; ``options`` of FFmpeg's writer."""
    layout = LAYOUTS[0 if samples.ndim == 1 else samples.shape[1] - 1]
    frame = av.AudioFrame.from_ndarray(np.atleast_2d(samples.T).copy(), "fltp", layout)
    frame.sample_rate, frame.pts = rate, 0
    file = io.BytesIO()
    with av.open(file, "w", format=container, container_options=options or {}) as output:
        track = output.add_stream(coding, rate=rate, layout=layout)
        assert isinstance(track, av.AudioStream)
        if coding.startswith("wma"):
            track.bit_rate = 96_000  # there is no default
        converter = av.AudioResampler(track.format, layout, rate)
        for part in [*converter.resample(frame), *converter.resample(None), None]:
            output.mux(track.encode(part))
    return file.getvalue()
