"""``python -m ospo_cli``, the same as the command ``ospo``."""

from ospo_cli.main import main

if __name__ == "__main__":
    main()
