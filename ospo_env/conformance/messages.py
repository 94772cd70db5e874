"""The words of counter-examples."""

__all__ = ["spoken"]


def spoken(text: str) -> str:
    """A text as it stands in messages."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
