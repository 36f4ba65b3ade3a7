"""What holds for every test: the same examples on every machine, nobody's keys, and signals that are heard."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import hypothesis
import pytest


@pytest.fixture(scope="session", autouse=True)
def no_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the keys of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGE_HOME", str(tmp_path_factory.mktemp("keys") / "home"))
        yield


# Under nohup, and in the background of a script, these are ignored, also by the programs that tests start.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)

pytest.register_assert_rewrite("tests.check", "tests.processes")

hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("fixed")
