"""Evaluate policies under retrievers: ``ospo evaluate --help``."""

from ospo_cli._cli import run
from ospo_cli.evaluate import main

if __name__ == "__main__":
    run(main)
