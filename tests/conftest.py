"""What holds for every test: the same examples on every machine, and nobody's keys."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest


@pytest.fixture(scope="session", autouse=True)
def no_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the keys of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGE_HOME", str(tmp_path_factory.mktemp("keys") / "home"))
        yield


pytest.register_assert_rewrite("tests.check", "tests.processes")

hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("fixed")
