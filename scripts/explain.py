"""Explain which segments of a rewrite earned the reward: ``ospo explain --help``."""

from ospo_cli._cli import run
from ospo_cli.explain import main

if __name__ == "__main__":
    run(main)
