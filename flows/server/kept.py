"""Secrets that are made once and kept in the user's own folder, for its owner alone."""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path


def folder() -> Path:
    """As the XDG Base Directory Specification has it: an empty or a relative path counts as none."""
    at = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (at if at.is_absolute() else Path.home() / ".config") / "otzyv"


def made_once(path: Path, make: Callable[[], str] = lambda: secrets.token_hex(32)) -> str:
    """What the file holds; made if there is none. Two processes at once are given the same. Raises OSError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        part.touch(mode=0o600)
        part.write_text(make())
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text().strip()
