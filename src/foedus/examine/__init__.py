"""Evidence of a run: figures with intervals from the members' signed counts, and credit from their signed gradients."""

from foedus.examine.credit import credit_report
from foedus.examine.figures import examination

__all__ = ["credit_report", "examination"]
