"""Run the study behind docs/RESULTS.md: ``ospo study --help``."""

from ospo_cli._cli import run
from ospo_cli.study import main

if __name__ == "__main__":
    run(main)
