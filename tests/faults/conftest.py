"""What the fault tests share."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.faults.served", "tests.faults.evidence")
