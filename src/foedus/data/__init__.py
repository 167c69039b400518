"""A member's data, on the member's machine: read as its `data.yaml` says, split, committed to, and described by a card.

Rows never leave this room's callers; what may leave is the card and the parts' commitments.
"""

from foedus.data.examples import Example, Span
from foedus.data.mapping import DataMapping, read_mapping
from foedus.data.parts import Parts, open_parts

__all__ = ["DataMapping", "Example", "Parts", "Span", "open_parts", "read_mapping"]
