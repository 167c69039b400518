"""The ledger: an append-only log of the consortium's signed acts, that anyone can check from its files alone.

The author of an act signs it; the log only puts acts in order and says when it received them. It is a C2SP
transparency log (tlog-tiles, tlog-checkpoint, tlog-cosignature, tlog-proof) over an RFC 6962 Merkle tree, kept as
plain files.

Read in this order:

- `merkle`: hashes, roots and the two proofs. Pure.
- `note`: signed notes, checkpoints and cosignatures. Pure.
- `tiles`: which files a ledger of a given size consists of, and what stands in them. Pure.
- `leaf`: the bytes of one leaf. Pure.
- `log`: the folder itself: append, extend a copy, collect cosignatures, give receipts.
- `receipt`: the proof that one entry is in the log, checked without the log. Pure.
- `verify`: every check of a ledger folder; believes nothing but the log's public key.
- `fold`: what the acts amount to.

What it protects: nobody can change, drop, reorder or insert an entry without another root; whoever kept an older
checkpoint sees it. What it does not: two groups of readers can be shown two logs (a split view) until enough
witnesses have cosigned one head; and an entry says who signed it, never that what it says is true.
"""

from foedus.ledger.leaf import Leaf, leaf_bytes
from foedus.ledger.log import Ledger, head_digest
from foedus.ledger.verify import verify_structure, verify_witnesses

__all__ = ["Leaf", "Ledger", "head_digest", "leaf_bytes", "verify_structure", "verify_witnesses"]
