"""Serve a trained policy's rewrites over HTTP: ``ospo serve --help``."""

from ospo_cli._cli import run
from ospo_cli.serve import main

if __name__ == "__main__":
    run(main)
