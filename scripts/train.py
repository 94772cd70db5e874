"""Train a rewriting policy: OSPO, or a baseline: ``ospo train --help``."""

from ospo_cli._cli import run
from ospo_cli.train import main

if __name__ == "__main__":
    run(main)
