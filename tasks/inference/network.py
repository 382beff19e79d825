"""The one place that runs a torch module fast on the processor: through OpenVINO, or torch itself."""

from __future__ import annotations

import os
import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

Batch = Mapping[str, np.ndarray]
"""One array per input of the module, the first axis the rows."""


class Network(Protocol):
    """Batches in, the module's output for each in the same order; reads at most a few batches ahead."""

    def __call__(self, batches: Iterable[Batch]) -> Iterator[np.ndarray]: ...


def network(
    module: torch.nn.Module,
    inputs: Mapping[str, tuple[np.dtype[Any] | type[np.generic], tuple[int, ...]]],
    *,
    backend: Literal["openvino", "torch"],
    precision: Literal["f32", "bf16"],
    streams: int | None = None,
) -> Network:
    """Make ``module`` ready to run. Its ``forward`` takes ``inputs`` by name, in their order, and gives one tensor.

    ``inputs``: name -> (type, shape), -1 where an axis differs between batches. What comes before the network in
    every case (uint8 to normalised float, pooling after it) is best put into ``module``: it then runs in the graph.
    ``streams``: batches computed at the same time, each on cores of its own; by default one per core. bf16 is a
    request: a processor without it computes in float32, which is nearer to the truth, never further from it.
    """
    module.eval()
    if backend == "torch":
        return _torch(module, precision)
    return _openvino(module, inputs, precision, streams or cores())


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_openvino() -> ModuleType:
    """Import openvino without its telemetry, which would write to the home folder and call a server at import."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it falls back to a stub of its own
    import openvino

    ready: ModuleType = openvino
    return ready


def load_onnxruntime() -> ModuleType:
    """Import onnxruntime without its telemetry (since 1.29), which would write to the home folder and call a server.

    For what OpenVINO can't read. It is off for good only if this comes before any other import of it in the process.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    ready: ModuleType = onnxruntime
    return ready


def _openvino(
    module: torch.nn.Module,
    inputs: Mapping[str, tuple[np.dtype[Any] | type[np.generic], tuple[int, ...]]],
    precision: Literal["f32", "bf16"],
    streams: int,
) -> Network:
    import torch

    openvino = load_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # Tracing wants an example; where an axis is free it has 2, 3, … so that no two free axes look like one.
    example = {
        name: torch.from_numpy(np.ones([size if size > 0 else 2 + axis for axis, size in enumerate(shape)], dtype))
        for name, (dtype, shape) in inputs.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch on tracing being old, transformers on values it makes constant
        # Torch's own check of a trace runs it twice more, half of the time all this takes; the tests check it instead.
        traced = TorchScriptPythonDecoder(module, example_input=example, trace_kwargs={"check_trace": False})
        graph = openvino.convert_model(
            traced,
            input=[(name, list(shape), openvino.Type(np.dtype(dtype))) for name, (dtype, shape) in inputs.items()],
        )
    compiled = openvino.Core().compile_model(
        graph,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,  # said even for f32: the default is what the processor does fastest
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": max(streams, cores()),
            "ENABLE_CPU_PINNING": False,  # several processes on one machine would be pinned to the same cores
        },
    )

    def run(batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        # Requests are taken in turn, so results come in order; a few more than streams keep every stream busy.
        free = deque(compiled.create_infer_request() for _ in range(streams + 2))
        busy: deque[tuple[Any, Batch]] = deque()  # the batch is kept: the request reads its memory in place
        try:
            for batch in batches:
                if not free:
                    yield _finish(busy, free)
                request = free.popleft()
                request.start_async(dict(batch), share_inputs=True)
                busy.append((request, batch))
            while busy:
                yield _finish(busy, free)
        finally:
            for request, _ in busy:  # left early: nothing may still read arrays that are about to go away
                request.wait()

    return run


def _finish(busy: deque[tuple[Any, Batch]], free: deque[Any]) -> np.ndarray:
    request, _ = busy.popleft()
    request.wait()
    free.append(request)
    return np.array(request.get_output_tensor(0).data)


def _torch(module: torch.nn.Module, precision: Literal["f32", "bf16"]) -> Network:
    import torch

    def run(batches: Iterable[Batch]) -> Iterator[np.ndarray]:
        for batch in batches:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                result = module(**{name: torch.from_numpy(array) for name, array in batch.items()})
            yield result.float().numpy()  # out here: a yield within would leave autocast on in the caller

    return run
