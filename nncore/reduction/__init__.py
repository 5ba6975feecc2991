"""Dimension reduction: PCA and autoencoders."""
