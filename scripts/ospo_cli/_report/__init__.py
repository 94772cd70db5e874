"""The parts of `report.py`: runs that are read, their learning curves, and the page."""
