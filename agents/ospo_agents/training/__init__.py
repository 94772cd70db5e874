"""A training run: settings, stages, learners, and the files that it writes."""
