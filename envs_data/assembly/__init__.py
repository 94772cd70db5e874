"""Candidate pools and demonstrations of all data sets, and the words from which they are drawn."""
