"""Programs that a person runs: the command ``ospo``. Arguments, calls, files, words."""
