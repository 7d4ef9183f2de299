"""Linnet takes an image collection from coarse labels to fine ones."""
