"""Programs that a person runs: the command ``ospo``. Arguments, calls, files, words."""

__all__: list[str] = []


def __getattr__(name: str) -> str:
    """``__version__``, looked up only when it is asked for, since that takes longer than the command's help."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("ospo")
