"""Write synthetic files of the official sizes: ``ospo make-official-size --help``."""

from ospo_cli._cli import run
from ospo_cli.make_official_size import main

if __name__ == "__main__":
    run(main)
