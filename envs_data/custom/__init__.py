"""A user's own data: tables, or the layout of BEIR, and the prepared directories made from them."""
