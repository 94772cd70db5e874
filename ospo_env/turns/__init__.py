"""Tasks in turns: an agent searches, reads the titles that its search brings, and searches again or answers."""
