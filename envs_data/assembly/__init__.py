"""Pools, demonstrations and the words they are drawn by, for every data set."""
