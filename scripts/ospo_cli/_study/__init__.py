"""The parts of `study.py`: what is trained, how it is trained, and what the tables say of it."""
