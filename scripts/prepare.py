"""Prepare a data set: ``ospo prepare --help``."""

from ospo_cli._cli import run
from ospo_cli.prepare import main

if __name__ == "__main__":
    run(main)
