"""Where tables lie and how a day of them is published, kept and read. ``from otzyv import Lake`` is enough."""

from otzyv.tasks.lake.lake import Lake

__all__ = ["Lake"]
