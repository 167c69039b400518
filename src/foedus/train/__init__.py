"""Learning at one member: a model from a base, a method and a task; steps on it; and the folder that is released."""

from __future__ import annotations

import os

# Large tensors in large pages. A step frees and takes tensors of tens of megabytes; in pages of 4 KB, page faults were
# 6 % (float32) to 18 % (bfloat16) of the processor time of fine-tuning every weight of MiniLM. No bit depends on it.
# PyTorch reads this when it makes its first tensor, and only on Linux.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
