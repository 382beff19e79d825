"""A decoder for tests: does with its process what its bytes say, as a hostile file might make a real decoder do."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from typing import Any

import numpy as np

from otzyv.tasks.media.inputs import AudioInput, ImageInput
from otzyv.tasks.media.refused import Refused

seen = 0


def decode(spec: ImageInput | AudioInput, data: bytes) -> np.ndarray[Any, Any]:
    """Good contents come back as they are, followed by how many this process has seen."""
    global seen
    seen += 1
    word, _, rest = data.decode().partition(" ")
    match word:
        case "sleep":
            time.sleep(float(rest))
        case "spin":
            while True:
                pass
        case "swell":
            held = [np.ones(1 << 24, np.uint8) for _ in range(1000)]
            assert held
        case "signal":
            os.kill(os.getpid(), signal.Signals[rest])
            time.sleep(60)
        case "exit":
            os._exit(int(rest))
        case "stop":
            raise SystemExit(0)
        case "refuse":
            raise Refused("unknown_format")
        case "bug":
            raise LookupError("secret")
        case "second" if seen > 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        case "large":
            return np.zeros(int(rest), np.uint8)
        case "print":
            sys.stdout.write("noise\n" * 100_000)
            sys.stderr.write("noise\n" * 100_000)
        case "crash":
            with open(rest, "a") as tries:
                tries.write("x")
            os.kill(os.getpid(), signal.SIGSEGV)
        case "modules":
            for name in rest.split():
                importlib.import_module(name)
            return np.frombuffer(" ".join(sys.modules).encode(), np.uint8)
        case "environment":
            return np.frombuffer(" ".join(os.environ).encode(), np.uint8)
    return np.frombuffer(data, np.uint8)
