"""Finished models: from raw rows to predictions."""
