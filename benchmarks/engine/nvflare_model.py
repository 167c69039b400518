"""What NVFLARE's server holds: a module of the exchanged values, at the start."""

from __future__ import annotations

import torch
from task import start_state


class Exchanged(torch.nn.Module):
    """Parameters named as the state is, with `/` where a module's names may have no dot."""

    def __init__(self) -> None:
        super().__init__()
        for name, value in start_state().items():
            self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value))
