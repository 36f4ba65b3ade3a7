"""``python -m bridge`` is the command ``zbridge``."""

from bridge.cli import main

main(prog_name="zbridge")
