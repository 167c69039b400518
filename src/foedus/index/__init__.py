"""The SQL index of a ledger, for pages: fast answers about a million entries. Needs the extra `serve`.

It is derived and can be deleted at any time: the ledger's files are the truth, and the index is made from them again.

    results    what it answers
    queries    what it can be asked: `Index`
    opening    opening it, and keeping it up to date
    tables     its tables; `rows`, `about`: what an entry adds to them
    fill       taking in new entries, a batch a transaction
    fold       what the ledger says, folded on as it grows
    select     cutting pages out of long lists; `mentions`, `parties`: the longer queries
    database   SQLite or PostgreSQL, and the one way in which it can be away
"""

from foedus.index.opening import keeping, open_index
from foedus.index.queries import Index

__all__ = ["Index", "keeping", "open_index"]
