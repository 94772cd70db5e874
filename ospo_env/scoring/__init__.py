"""Scores of texts on pools or the whole corpus, and the worths of coalitions of their segments."""
