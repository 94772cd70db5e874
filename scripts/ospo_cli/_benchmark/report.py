"""The table, as text for a terminal and for a page."""

from collections.abc import Sequence

from ospo_cli._benchmark.rows import Row

__all__ = ["markdown", "terminal_row"]


def terminal_row(row: Row) -> str:
    """One line for a terminal."""
    return f"{_verdict(row, 'met', 'MISSED'):<6} {_number(row):>22}  {row.target:<26} {row.work}"


def markdown(rows: Sequence[Row], command: str) -> str:
    """A page's table with the command that made it."""
    lines = ["| work | target | measured | met |", "|---|---|---|---|"]
    lines += [f"| {row.work} | {row.target} | {_number(row)} | {_verdict(row, 'yes', 'no')} |" for row in rows]
    return "\n".join([f"`{command}`", "", *lines, ""])


def _number(row: Row) -> str:
    number = f"{row.measured:,.0f}" if row.measured >= 1000 else f"{row.measured:.3g}"
    return f"{number}{'' if row.unit in ('x', '') else ' '}{row.unit}"


def _verdict(row: Row, met: str, missed: str) -> str:
    if row.least is None and row.most is None:
        return ""  # there is no target
    return met if row.met else missed
