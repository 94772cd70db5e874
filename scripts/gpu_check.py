"""Check the learner on a GPU: ``ospo gpu-check --help``."""

from ospo_cli._cli import run
from ospo_cli.gpu_check import main

if __name__ == "__main__":
    run(main)
