"""Parts of ``ospo report``: the runs, their learning curves, and the page."""
