"""The contract of extractors: tests to inherit, contents made up for them, and golden values. It needs pytest."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.tests")

from otzyv.tasks.extractors.contract.tests import Contract, Promises  # noqa: E402  # after it is to be rewritten

__all__ = ["Contract", "Promises"]
