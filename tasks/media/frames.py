"""Frames of streams that have no container: MPEG audio layer III (ISO 11172-3, 13818-3), ADTS AAC (ISO 14496-3)."""

from __future__ import annotations

_BITRATES = (
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # kbit/s of MPEG 1
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # of MPEG 2 and 2.5
)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def _layer_3() -> dict[bytes, tuple[int, int, int]]:
    """The two bytes behind the first -> bytes of the frame, samples in it, their rate. Free bit rates are left out."""
    found = {}
    for version, rates in _RATES.items():
        samples = 1152 if version == 3 else 576
        for index, rate in enumerate(rates):
            for bits, kilobits in enumerate(_BITRATES[version != 3], start=1):
                for padding in (0, 1):
                    size = samples * kilobits * 125 // rate + padding
                    for protection in (0, 1):
                        for private in (0, 1):
                            second = 0xE0 | version << 3 | 1 << 1 | protection
                            third = bits << 4 | index << 2 | padding << 1 | private
                            found[bytes((second, third))] = (size, samples, rate)
    return found


LAYER_3 = _layer_3()


def mp3_frame(data: bytes, at: int) -> tuple[int, int, int]:
    """Bytes, samples and rate of the layer III frame that begins at ``at``; zeros where none does."""
    return LAYER_3.get(data[at + 1 : at + 3], (0, 0, 0)) if data[at : at + 1] == b"\xff" else (0, 0, 0)


def mp3_begins(data: bytes, at: int, frames: int) -> bool:
    """Whether so many frames of one version and rate follow each other from ``at``, as far as ``data`` goes."""
    first = rate = 0
    for number in range(frames):
        if number and at + 3 > len(data):
            return True
        size, _, hertz = mp3_frame(data, at)
        if not size or (number and (data[at + 1] & 0xFE != first or hertz != rate)):
            return False
        first, rate, at = data[at + 1] & 0xFE, hertz, at + size
    return True


def adts_begins(data: bytes, at: int, frames: int) -> bool:
    """Whether so many ADTS frames of one profile and rate follow each other from ``at``, as far as ``data`` goes."""
    alike = None
    for number in range(frames):
        if number and at + 7 > len(data):
            return True
        header = data[at : at + 7]
        if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
            return False
        size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        if size < 8 or alike not in (None, (header[1], header[2] & 0xFC)):
            return False
        alike, at = (header[1], header[2] & 0xFC), at + size
    return True
