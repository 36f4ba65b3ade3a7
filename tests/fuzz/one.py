"""Fuzz one target: ``python -m tests.fuzz.one TARGET [options and folders of libFuzzer]``."""

from __future__ import annotations

import random
import sys


def main(name: str, *arguments: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["bridge"]):
        from tests.fuzz import guard, inputs, targets

        targets.warm_up(name)  # what is imported when it is first needed is instrumented too
    target = targets.TARGETS[name]

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            new = inputs.changed(data, rng)
            if new != data and len(new) <= most:
                return new
        return bytes(atheris.Mutate(data, most))

    guard.begin()
    atheris.Setup(
        [sys.argv[0], *arguments],
        lambda data: guard.guarded(target.run, data, declared=target.declared),
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
