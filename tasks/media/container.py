"""The sound of a file in blocks, by FFmpeg: what libsndfile does not read, or not to its end."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.codec.context import Flags2

from otzyv.tasks.media.refused import Refused

DECODERS = (
    "aac", "alac", "flac", "mp3float", "opus", "vorbis", "speex", "amrnb", "amrwb", "wmav1", "wmav2",
    "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be",
    "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_mulaw", "pcm_alaw",
    "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "gsm_ms",
)  # fmt: skip
"""FFmpeg's decoders that a file may reach, of hundreds; none of them is for pictures."""
PROMISES = frozenset({"mov", "aiff", "caf"})
"""Formats whose header tells how long the sound is; others are streams, whose length FFmpeg guesses."""

Block = tuple[int, np.ndarray[Any, np.dtype[np.float32]]]


class Sound:
    """The first sound track of a file of the format that FFmpeg calls ``reader``.

    Raises Refused: no_sound, no_decoder where its coding is none of DECODERS, damaged.
    """

    def __init__(self, data: bytes, reader: str) -> None:
        self._data, self._reader = data, reader
        self.lost = 0.0
        """Share of the packets that could not be decoded, once all blocks were read."""
        self.promised: float | None = None
        """Seconds, where the format tells."""

    def blocks(self) -> Iterator[Block]:
        """A rate and float32 (frames, channels). A broken packet is left out; rate and channels may change."""
        packets = broken = 0
        floats: dict[tuple[str, str, int], av.AudioResampler] = {}
        try:
            # The container is named, so that none of FFmpeg's other 300 readers sees the file.
            with av.open(
                io.BytesIO(self._data),
                "r",
                format=self._reader,
                container_options={"codec_whitelist": ",".join(DECODERS)},
                metadata_errors="replace",
            ) as opened:
                if not opened.streams.audio:
                    raise Refused("no_sound")
                track = opened.streams.audio[0]
                codec = track.codec_context
                if codec is None or codec.name not in DECODERS:
                    raise Refused("no_decoder")
                codec.thread_count = 1
                if (self._reader, codec.name) == ("caf", "alac"):
                    # The last packet holds what is left of the sound; FFmpeg would cut the padding off it once more.
                    codec.flags2 |= Flags2.skip_manual
                if self._reader in PROMISES and track.duration and track.time_base:
                    self.promised = float(track.duration * track.time_base)
                for packet in opened.demux(track):
                    packets += 1
                    try:
                        frames = packet.decode()
                    except av.FFmpegError:
                        broken += 1
                        continue
                    for frame in frames:
                        yield from _floats(frame, floats)
        except (av.FFmpegError, ValueError) as error:
            raise Refused("damaged") from error
        self.lost = broken / max(packets, 1)


def _floats(frame: av.AudioFrame, converters: dict[tuple[str, str, int], av.AudioResampler]) -> Iterator[Block]:
    if frame.format.name == "fltp":
        yield frame.sample_rate, np.asarray(frame.to_ndarray().T, np.float32)
        return
    kind = (frame.format.name, frame.layout.name, frame.sample_rate)
    converter = converters.setdefault(kind, av.AudioResampler(format="fltp"))
    for converted in converter.resample(frame):
        yield converted.sample_rate, np.asarray(converted.to_ndarray().T, np.float32)
