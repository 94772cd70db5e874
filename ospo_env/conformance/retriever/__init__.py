"""The contract of a retriever, clause by clause."""
