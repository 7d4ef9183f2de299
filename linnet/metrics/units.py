"""In what unit a metric is, by its name, and whether more of it is better."""

from __future__ import annotations

__all__ = ["lower_is_better", "unit"]

_UNITS = {
    "clusters": "",
    "fine_classes": "",
    "attention_correlation": "r",
    "effective_rank": "dimensions",
    "hierarchical_distance": "levels",
    "milliseconds_per_image": "ms",
    "mistake_severity": "levels",
    "parameters": "millions",
    "peak_memory": "MB",
}
_LOWER = frozenset({"mistake_severity", "hierarchical_distance", "milliseconds_per_image", "peak_memory"})


def unit(metric: str) -> str:
    """'%' for most; "levels" of the hierarchy, "dimensions" of an embedding, "r" (-1 to 1), "ms", "MB"."""
    return _UNITS.get(metric.partition("@")[0], "%")


def lower_is_better(metric: str) -> bool:
    """Whether a lower figure is the better one."""
    return metric.partition("@")[0] in _LOWER
