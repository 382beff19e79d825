"""Benchmarks in processes of their own: memory, thread pools and warm caches of one do not show in another."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.bench.figure import Figure


class BenchFailed(RuntimeError):
    """A benchmark ended before it was done."""


def measured(module: str) -> Iterator[Figure]:
    """The figures of a module, each as soon as it is measured. What the module prints goes to standard error."""
    command = [sys.executable, "-m", __name__, module]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Figure(**json.loads(line))
    if process.returncode:
        raise BenchFailed(f"{module} ended with exit status {process.returncode}")


def peak(module: str, *arguments: str) -> int:
    """Peak memory in bytes of a fresh process that runs ``python -m module arguments``, which ends in ``tell_peak``."""
    told = subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return int(told.stdout.splitlines()[-1])


def tell_peak() -> None:
    """Print this process's peak memory in bytes."""
    # not getrusage: its peak is inherited from the process that started this one
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].removesuffix("kB")) * 1024)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for figure in importlib.import_module(sys.argv[1]).figures():
            print(json.dumps(asdict(figure)), file=answers, flush=True)
