"""Options whose value is YAML."""

import argparse
from typing import Any

import yaml

__all__ = ["yaml_value"]


def yaml_value(text: str) -> Any:
    """The value of an option, parsed.

    Raises:
        ArgumentTypeError: It is no YAML.

    >>> yaml_value("{width: 8}")
    {'width': 8}
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise argparse.ArgumentTypeError(
            f"expected YAML, such as '{{width: 8}}'; got {text[:80]!r}: {reason}"
        ) from error
