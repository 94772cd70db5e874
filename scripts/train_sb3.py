"""Train a Stable-Baselines3 agent: ``ospo train-sb3 --help``."""

from ospo_cli._cli import run
from ospo_cli.train_sb3 import main

if __name__ == "__main__":
    run(main)
