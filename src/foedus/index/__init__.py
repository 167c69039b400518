"""The SQL index of a ledger, for pages: fast answers about a million entries. Needs the extra `serve`.

results    what it answers
queries    what it can be asked
"""

from foedus.index.queries import Index

__all__ = ["Index"]
