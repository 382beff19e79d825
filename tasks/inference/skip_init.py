"""Networks that are made to be filled: no random first weights are drawn that the file's would replace at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DRAWS = frozenset({"uniform_", "normal_", "kaiming_uniform_"})
"""What all of ``torch.nn.init`` and of transformers draws with, as functions and as methods of a tensor."""


@contextmanager
def skip_init() -> Iterator[None]:
    """Within it parameters are not drawn, in this thread alone: every one must then be loaded.

    Drawing takes most of the time it takes to load a small network. Constants are set as ever, and so is what is no
    parameter: ``trunc_normal_`` draws into tensors of its own until all lie within its bounds.
    """
    from torch.nn import Parameter
    from torch.overrides import TorchFunctionMode

    class Undrawn(TorchFunctionMode):
        def __torch_function__(
            self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            given = kwargs or {}
            if getattr(func, "__name__", None) in DRAWS:
                drawn = given["tensor"] if "tensor" in given else args[0]
                if isinstance(drawn, Parameter):
                    return drawn
            return func(*args, **given)

    with Undrawn():
        yield
