"""What runs inside a decoding child: it takes contents one after another and answers after each.

A child is a fresh interpreter started by ``tasks.media.children``. Both speak over a socket that keeps messages
apart (small JSON, never pickle); bytes and arrays lie in a memory file that both have open. All limits on one content
are the child's own timers and resource limits, so that they hold even while the parent is busy or gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import numpy as np

from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.media.refused import Refused

SPECS: dict[str, type[ImageInput] | type[AudioInput]] = {"ImageInput": ImageInput, "AudioInput": AudioInput}
DTYPES = {"ImageInput": "uint8", "AudioInput": "float32"}
MEMORY_EXIT = 77
"""Exit status of a child whose decoder had not enough memory."""
ROOM = 256 << 20
"""Bytes of the memory file: what one message may bring and give back together."""
_PR_SET_PDEATHSIG = 1


def serve(control: int, memory: int, parent: int, data_limit: int, decoder: str) -> None:
    """Answer the parent's messages until it closes the socket of descriptor ``control``.

    ``decoder``: the function, ``module:name``, that maps a spec and bytes to an array.
    """
    _confine(parent, data_limit)
    with socket.socket(fileno=control) as peer:
        try:
            module, _, name = decoder.partition(":")
            decode = getattr(importlib.import_module(module), name)
        except Exception as error:
            _answer(peer, error=f"{type(error).__name__}: {error}")
            return
        _answer(peer, ready=True)
        while message := peer.recv(65_536):
            _group(peer, memory, decode, json.loads(message))


def _group(peer: socket.socket, memory: int, decode: Any, order: dict[str, Any]) -> None:
    """Decode the contents of one message, results behind them in the memory file; stop where it is full."""
    spec = SPECS[order["spec"]](**order["fields"])
    start, end = 0, sum(order["sizes"])
    first = end
    for size in order["sizes"]:
        data = os.pread(memory, size, start)
        start += size
        signal.setitimer(signal.ITIMER_PROF, order["cpu"])
        try:
            array = np.ascontiguousarray(decode(spec, data), dtype=DTYPES[order["spec"]])
        except Refused as refusal:
            _answer(peer, status=refusal.status, reason=refusal.reason)
            continue
        except MemoryError:
            os._exit(MEMORY_EXIT)  # whatever else this process holds must not decide the next content's fate
        except Exception as error:
            # decode() promises Refused for anything about the content: this is a missing library or a bug.
            detail = f": {error}" if isinstance(error, ImportError) else ""
            _answer(peer, error=f"{type(error).__name__}{detail}")
            return
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if end + array.nbytes > ROOM and end > first:
            _answer(peer, full=True)
            return
        if end + array.nbytes > ROOM:
            _answer(peer, status="too_large")
            continue
        os.pwrite(memory, array.data.cast("B"), end) if array.nbytes else None
        _answer(peer, status="ok", shape=array.shape, offset=end)
        end += array.nbytes


def _answer(peer: socket.socket, **message: Any) -> None:
    peer.send(json.dumps(message).encode())


def _confine(parent: int, data_limit: int) -> None:
    """Limit memory, forbid core dumps and large files, and die with the parent however it dies."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    # Private memory only: address space would also count libraries and threads' reserved stacks.
    resource.setrlimit(resource.RLIMIT_DATA, (data_limit, data_limit))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes its children
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    with contextlib.suppress(OSError):  # where memory runs out, a child goes before the run does
        Path("/proc/self/oom_score_adj").write_text("1000")
