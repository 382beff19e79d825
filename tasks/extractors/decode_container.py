"""The sound of MPEG-4 (m4a, mp4, mov, 3gp) and WebM files in blocks: what libsndfile does not read, FFmpeg does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain
from typing import Any

import av
import numpy as np

from tasks.extractors.decode import Refused

DECODERS = ("aac", "alac", "flac", "mp3float", "opus", "vorbis")
"""FFmpeg's decoders that a file may reach, of hundreds; none of them is for pictures."""
READERS = {"MP4": "mov", "WEBM": "matroska"}
"""FFmpeg's names of the containers."""


class Sound:
    """The first sound track of a file: its rate, its channels and the seconds it claims to last (or None).

    ``kind``: a key of READERS. Raises Refused: ``unsupported`` where no sound is in a coding of DECODERS,
    ``undecodable`` for what is broken. An MPEG-4 file cut short is broken; WebM is a stream: one cut short counts for
    what its decoder still gives. The last frame may be filled up with silence, by less than a tenth of a second.
    """

    def __init__(self, data: bytes, kind: str) -> None:
        if kind == "MP4" and _cut_short(data):
            raise Refused("undecodable")
        try:
            # The container is named, so that none of FFmpeg's other 300 readers sees the file.
            opened = av.open(
                io.BytesIO(data),
                "r",
                format=READERS[kind],
                container_options={"codec_whitelist": ",".join(DECODERS)},
                metadata_errors="replace",
            )
            if not opened.streams.audio:
                raise Refused("unsupported")
            track = opened.streams.audio[0]
            codec = track.codec_context
            if codec is None or codec.name not in DECODERS:
                raise Refused("unsupported")
            codec.thread_count = 1
            self._frames = opened.decode(track)
            first = next(self._frames, None)
        except (av.FFmpegError, ValueError) as error:
            raise Refused("undecodable") from error
        if first is None:
            raise Refused("undecodable")
        # Of the first frame: AAC may hold twice the rate and the channels that the file tells.
        self._first, self.rate, self.channels = first, first.sample_rate, first.layout.nb_channels
        self.seconds = float(track.duration * track.time_base) if track.duration and track.time_base else None

    def blocks(self) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
        """float32 (frames, channels). Raises Refused where rate or channels change on the way."""
        floats = av.AudioResampler(format="fltp")
        try:
            for coded in chain([self._first], self._frames):
                if coded.sample_rate != self.rate or coded.layout.nb_channels != self.channels:
                    raise Refused("undecodable")
                for frame in floats.resample(coded):
                    yield np.asarray(frame.to_ndarray().T, np.float32)
        except (av.FFmpegError, ValueError) as error:
            raise Refused("undecodable") from error


def _cut_short(data: bytes) -> bool:
    """Whether a box of the outermost level reaches beyond the end (ISO 14496-12, 4.2)."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:  # 64 bits, behind the type
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # as far as the file goes
            return False
        at += max(size, 8)
    return at != len(data)
