"""Networks that are made to be filled: no random first weights are drawn that the file's would replace at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DRAWS = frozenset({"uniform_", "normal_", "kaiming_uniform_"})
"""What all of ``torch.nn.init`` and of transformers draws with, as functions and as methods of a tensor."""


@contextmanager
def undrawn() -> Iterator[None]:
    """Within it a new module's weights stay as they lie, in this thread alone: every one must then be loaded.

    Drawing takes most of the time it takes to load a small network. Constants are set as ever, and so is what a module
    computes for itself.
    """
    from torch.overrides import TorchFunctionMode

    class Undrawn(TorchFunctionMode):
        def __torch_function__(
            self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            given = kwargs or {}
            if getattr(func, "__name__", None) in DRAWS:
                return given["tensor"] if "tensor" in given else args[0]
            return func(*args, **given)

    with Undrawn():
        yield
