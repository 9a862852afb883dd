"""What a cohort holds, and whether it is sound."""

from neurotwin.inventory.describe import describe
from neurotwin.inventory.validate import Finding, validate

__all__ = ["Finding", "describe", "validate"]
