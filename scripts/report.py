"""Write a run's report as one HTML page: ``ospo report --help``."""

from ospo_cli._cli import run
from ospo_cli.report import main

if __name__ == "__main__":
    run(main)
