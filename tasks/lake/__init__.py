"""Where tables lie and how a day of them is published, kept and read. ``from tasks.lake import Lake`` is enough."""

from tasks.lake.lake import Lake

__all__ = ["Lake"]
