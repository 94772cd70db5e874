"""Run the benchmark behind docs/PERFORMANCE.md: ``ospo benchmark --help``."""

from ospo_cli._cli import run
from ospo_cli.benchmark import main

if __name__ == "__main__":
    run(main)
