"""Times in a user's files: dates of any form that can be told, or numbers such as seconds since an epoch."""

import polars as pl

__all__ = ["time_values"]

_UTC = pl.Datetime("us", "UTC")


def time_values(cells: pl.Series) -> pl.Series | None:
    """Times of a column, of one type that can be compared; null where they are wrong.

    Args:
        cells: Dates or times, numbers, or texts of one of them. Texts are numbers if the first that is not blank is
            one, else dates of the form of the first.

    Returns:
        Float64, or dates in UTC; those without a time zone are taken as UTC. ``None`` for another type.

    >>> time_values(pl.Series(["2024-05-31T12:00:00+02:00", "soon"])).dt.to_string("iso").to_list()
    ['2024-05-31 10:00:00.000000+00:00', None]
    """
    if cells.dtype.is_numeric():
        numbers = cells.cast(pl.Float64)
        return numbers.set(~numbers.is_finite().fill_null(False), None)
    if cells.dtype == pl.Date:
        return cells.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if isinstance(cells.dtype, pl.Datetime):
        known = cells if cells.dtype.time_zone else cells.dt.replace_time_zone("UTC")
        return known.dt.convert_time_zone("UTC").cast(_UTC)
    if cells.dtype != pl.String:
        return None
    bare = cells.str.strip_chars()
    filled = bare.filter(bare != "")
    if len(filled) and filled.head(1).cast(pl.Float64, strict=False).null_count() == 0:
        return time_values(bare.cast(pl.Float64, strict=False))
    return bare.str.to_datetime(strict=False, time_unit="us", time_zone="UTC")
