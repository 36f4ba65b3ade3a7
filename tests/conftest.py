"""What holds for every test: hypothesis tries the same examples on every machine."""

from __future__ import annotations

import hypothesis
import pytest

pytest.register_assert_rewrite("tests.check", "tests.processes")

hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("fixed")
