"""Parts of `benchmark.py`: the published procedure as a baseline, the work that is timed, and how it is reported."""
