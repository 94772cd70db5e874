"""The part of the study with a pretrained language model on real data: plan, runs, scores, tables."""
