"""PNG without what is no picture, so that no broken or endless note in a file keeps its pixels from being read."""

from __future__ import annotations

import struct
import zlib

from otzyv.tasks.media.refused import Refused

_SIGNATURE = 8
_KEPT = (b"tRNS", b"eXIf")
"""What bears on the pixels beside the chunks that no reader may do without."""


def essential(data: bytes) -> bytes:
    """The critical chunks as they are, transparency and EXIF where they are whole, and the end, whether it is there.

    Texts, colour profiles and all other ancillary chunks are left out, unread. The last chunk may lack its end; whether
    all rows are in it, the decoder tells. Raises Refused("no_decoder") for Apple's own kind of PNG.
    """
    parts, at, depth, colour = [data[:_SIGNATURE]], _SIGNATURE, 0, 0
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + size
        if name == b"IEND" or not (name.isalpha() and name.isascii()):
            break
        if name == b"CgBI":
            raise Refused("no_decoder")
        if name == b"IHDR" and size == 13:
            depth, colour = data[at + 16], data[at + 17]
        if not name[0] & 0x20:
            parts.append(data[at:end] if end <= len(data) else _chunk(name, data[at + 8 : at + 8 + size]))
        elif name in _KEPT and end <= len(data):
            body = data[at + 8 : end - 4]
            if zlib.crc32(name + body) == int.from_bytes(data[end - 4 : end], "big"):
                parts.append(_chunk(name, _eight_bits(body, depth, colour) if name == b"tRNS" else body))
        at = end
    return b"".join((*parts, _chunk(b"IEND", b"")))


def _eight_bits(key: bytes, depth: int, colour: int) -> bytes:
    """The colour that is transparent, in the 8 bits to which Pillow brings the pixels, but not their key.

    Not that of 16-bit grey, whose pixels keep their bits.
    """
    if colour == 0 and depth in (2, 4) and len(key) == 2:
        return struct.pack(">H", int.from_bytes(key, "big") * (255 // (2**depth - 1)))
    if colour == 2 and depth == 16 and len(key) == 6:
        return struct.pack(">HHH", *(value >> 8 for value in struct.unpack(">HHH", key)))
    return key


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
