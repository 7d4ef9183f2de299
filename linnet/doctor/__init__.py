"""The label doctor: what is wrong or odd with a collection's labels and images, and what can be learnt from it."""

from __future__ import annotations

from linnet.doctor.checkup import Checkup, examine
from linnet.doctor.findings import Code, Finding, Item, Severity

__all__ = ["Checkup", "Code", "Finding", "Item", "Severity", "examine"]
