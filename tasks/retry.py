"""Which failures a retry can mend: the environment's (network, disk, another writer), never a bad input or a bug."""

from __future__ import annotations

from typing import Any

from prefect import State

DELAYS = [1.0, 10.0]
"""Seconds before each further try."""
RETRIES = len(DELAYS)

_STANDING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Errors of the machine that are there the next time as well."""


async def environment_fault(task: Any, run: Any, state: State[Any]) -> bool:
    """Prefect's retry condition: retry what may be gone the next time."""
    from deltalake.exceptions import DeltaError

    try:
        await state.aresult()
    except _STANDING:
        return False
    except (OSError, DeltaError):
        return True
    except Exception:
        return False
    return False
