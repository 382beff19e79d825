"""Bytes of an attached file to the array a model reads, with a closed set of ways to fail."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tasks.extractors.card import AudioInput, ImageInput

Reason = Literal["undecodable", "too_large", "unsupported"]


class Refused(Exception):
    """The content can't be decoded; ``status`` says why. It holds nothing of the content or of a library's message."""

    def __init__(self, status: Reason) -> None:
        super().__init__(status)
        self.status: Reason = status


def decode(spec: ImageInput | AudioInput, data: bytes) -> np.ndarray[Any, Any]:
    """uint8 (height, width, 3) for an image, float32 (samples,) for audio.

    Raises Refused, or MemoryError where the process has not enough memory for it; nothing else. Decoders fail in many
    ways (Pillow alone with seven classes of exceptions): whatever they say, the content is undecodable.
    """
    try:
        if isinstance(spec, ImageInput):
            from tasks.extractors.decode_image import decode_image

            return decode_image(data, spec)
        from tasks.extractors.decode_audio import decode_audio

        return decode_audio(data, spec)
    except (Refused, MemoryError, ImportError):
        raise
    except Exception as error:
        raise Refused("undecodable") from error
