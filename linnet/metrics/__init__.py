"""Figures of merit: accuracy, recall at k, their chance levels, and label-free signals. Pure functions."""
