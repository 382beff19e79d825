"""Reviews of Russian online courses in, checked feature tables in a data lake out.

``from otzyv import Lake`` reads released tables in a notebook or a program; everything else is the command ``otzyv``.
The folders of the repository are the parts of this package: ``otzyv.schemas``, ``otzyv.tasks``, ``otzyv.flows``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otzyv.schemas.errors import OtzyvError
    from otzyv.tasks.lake import Lake

__all__ = ["Lake", "OtzyvError"]

_CHECKOUT = Path(__file__).resolve().parents[3]
if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "infra" / "src" / "otzyv" / "__init__.py").is_file():
    # Installed as editable: the parts beside this file are links to the folders, whose own paths tracebacks and
    # debuggers should name.
    __path__.insert(0, str(_CHECKOUT))


def __getattr__(name: str) -> object:
    """The lake is imported when it is first asked for: it takes Arrow and Delta, which ``otzyv --help`` needs not."""
    if name == "Lake":
        from otzyv.tasks.lake import Lake

        return Lake
    if name == "OtzyvError":
        from otzyv.schemas.errors import OtzyvError

        return OtzyvError
    raise AttributeError(f"module 'otzyv' has no attribute {name!r}; what it offers: {', '.join(__all__)}")
