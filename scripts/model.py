"""Write a pretrained model from a package: ``ospo model --help``."""

from ospo_cli._cli import run
from ospo_cli.model import main

if __name__ == "__main__":
    run(main)
