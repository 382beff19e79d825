"""torchvision beside a CPU build of torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from otzyv.tasks.inference.once import once

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[Any] = []  # torch forgets a library's operators when the object goes


@once
def load_torchvision() -> ModuleType:
    """Import torchvision. To be called before anything that may import it: timm, transformers' models.

    Its wheel is linked against CUDA, so beside CPU torch its operators can't be loaded, and the import fails because
    two of them are not there to be described. Here those two are declared, and only then: models, transforms and
    weights work; ``nms`` and ``torchvision.io``'s decoders don't, and are not used.
    """
    import torch

    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not installed; it comes with this project's dependencies")
    try:
        torch.ops.load_library(str(Path(spec.origin).with_name("_C.so")))  # type: ignore[no-untyped-call]
    except OSError:
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(operator + _SCHEMA)  # type: ignore[no-untyped-call]
        _libraries.append(library)
    import torchvision

    module: ModuleType = torchvision
    return module
