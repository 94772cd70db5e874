"""Write a model card for a trained policy: ``ospo card --help``."""

from ospo_cli._cli import run
from ospo_cli.card import main

if __name__ == "__main__":
    run(main)
