"""Official ESCI and H&M files: their readers, and the prepared directories made from them."""
