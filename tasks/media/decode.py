"""Bytes of an attached file to the array a model reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.media.refused import Refused


def decode(spec: ImageInput | AudioInput, data: bytes) -> np.ndarray[Any, Any]:
    """uint8 (height, width, 3) for an image, float32 (samples,) for audio.

    Raises Refused, or MemoryError where the process has not enough memory for it; nothing else. Decoders fail in many
    ways (Pillow alone with seven classes of exceptions): whatever they say, the content is damaged.
    """
    try:
        if isinstance(spec, ImageInput):
            from otzyv.tasks.media.image import decode_image

            return decode_image(data, spec)
        from otzyv.tasks.media.audio import decode_audio

        return decode_audio(data, spec)
    except (Refused, MemoryError, ImportError):
        raise
    except Exception as error:
        raise Refused("damaged") from error
