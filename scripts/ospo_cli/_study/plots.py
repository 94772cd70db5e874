"""Learning curves of several methods, with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs_data.files import write_atomically
from ospo_cli._study.plan import METRIC
from ospo_env.evaluation.intervals import seed_interval

__all__ = ["draw_curves"]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by the colour-blind too


def draw_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path, *, title: str) -> None:
    """Draw sampled and greedy values against rollouts as a PNG file.

    Args:
        runs: Reports of finished runs by method, a seed each.
        path: File to write.
        title: Above the picture.
    """
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("sampled", "greedy"), strict=True):
        for (method, reports), colour in zip(runs.items(), _COLOURS * len(runs), strict=False):
            rollouts = [point["rollouts"] for point in reports[0]["curve"]]
            values = np.array([[point[kind] for point in report["curve"]] for report in reports])
            bands = [seed_interval(column) for column in values.T]
            axes.plot(rollouts, [band.value for band in bands], color=colour, label=method)
            axes.fill_between(
                rollouts, [band.low for band in bands], [band.high for band in bands], color=colour, alpha=0.2, lw=0
            )
        axes.set(title=f"{kind} rewrites", xlabel="rollouts", ylabel=METRIC if kind == "sampled" else "")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    write_atomically(path, stream.getvalue())
