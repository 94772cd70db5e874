"""Parts of ``ospo benchmark``: the published procedure as a baseline, the work that is timed, and the table."""
