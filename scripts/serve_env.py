"""Serve a task as an OpenEnv environment: ``ospo serve-env --help``."""

from ospo_cli._cli import run
from ospo_cli.serve_env import main

if __name__ == "__main__":
    run(main)
