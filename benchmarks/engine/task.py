"""The fine-tune that every engine does, without Foedus: a folder of instructions in, steps on a stock model.

Bare loops, Flower and NVFLARE import this file, the last two from environments of their own; so it needs torch,
transformers, peft and safetensors only. Nothing is drawn here: `PEERS_TASK` names a folder that `prepare.py` wrote,
with the start state, each member's texts, the order of its examples in each round, and which names a round trains.
What an engine is measured by, it writes itself: `mark` adds a line to `PEERS_EVENTS`.
"""

from __future__ import annotations

import json
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from safetensors.torch import load_file, save_file
from torch.optim.optimizer import register_optimizer_step_post_hook

State = dict[str, torch.Tensor]


def folder() -> Path:
    return Path(os.environ["PEERS_TASK"])


def mark(event: str, **fields: Any) -> None:
    """A line `{"at": seconds, "event": …}` for the program that measures; one write, so that processes may share it."""
    told = {"at": time.time(), "processor": time.process_time(), "event": event, **fields}
    line = json.dumps(told) + "\n"
    with Path(os.environ["PEERS_EVENTS"]).open("a") as file:
        file.write(line)


def mark_first_step() -> None:
    """From here on, the first optimiser step of this process, or of one forked from it, is marked."""

    def after(*_: Any) -> None:
        handle.remove()
        mark("step")

    handle = register_optimizer_step_post_hook(after)


@cache
def recipe() -> dict[str, Any]:
    """What `prepare.py` wrote: model, method, craft, members, rounds."""
    found: dict[str, Any] = json.loads((folder() / "recipe.json").read_text())
    return found


@cache
def texts_of(member: str) -> tuple[list[list[int]], list[int]]:
    """A member's examples as token ids and labels, encoded on first use."""
    from transformers import AutoTokenizer

    rows = json.loads((folder() / "data" / f"{member}.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(recipe()["model"])
    encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=recipe()["max_tokens"])
    return encoded["input_ids"], [row["label"] for row in rows]


def start_state() -> State:
    """Where everybody starts."""
    return load_file(folder() / "start.safetensors")


def write_state(state: State) -> None:
    """The end, where the program that measures looks for it."""
    save_file({name: value.contiguous() for name, value in state.items()}, os.environ["PEERS_END"])


class Learner:
    """The stock model with LoRA on it, and one member's round of training."""

    def __init__(self, *, fused: bool = True) -> None:
        from peft import LoraConfig, inject_adapter_in_model
        from transformers import AutoModelForSequenceClassification

        told, self.fused = recipe(), fused
        self.net = AutoModelForSequenceClassification.from_pretrained(
            told["model"], num_labels=told["labels"], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        lora = told["lora"]
        config = LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], target_modules=lora["modules"], bias="none")
        inject_adapter_in_model(config, self.net)
        names = start_state().keys()
        self.trained = {}
        for name, parameter in self.net.named_parameters():
            plain = name.replace(".default.weight", ".weight")
            parameter.requires_grad = plain in names
            if plain in names:
                self.trained[plain] = parameter

    def load(self, state: State) -> None:
        """Put a state into the network."""
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(state[name])

    def read(self) -> State:
        """Copies of the trained values."""
        return {name: parameter.detach().clone() for name, parameter in sorted(self.trained.items())}

    def train(self, member: str, number: int) -> int:
        """A member's steps of a round (counted from 1), in place; how many examples it saw."""
        told = recipe()
        craft, names = told["craft"], sorted(told["names"][number - 1])
        order = json.loads((folder() / "orders" / f"{member}.json").read_text())[number - 1]
        for name, parameter in self.trained.items():
            parameter.requires_grad = name in names
            parameter.grad = None
        parameters = [self.trained[name] for name in names]
        optimiser = torch.optim.AdamW(
            parameters, lr=craft["learning_rate"], weight_decay=craft["weight_decay"], fused=self.fused
        )
        ids, labels = texts_of(member)
        self.net.train()
        for at in range(0, len(order), craft["batch_size"]):
            chosen = order[at : at + craft["batch_size"]]
            batch = padded([ids[i] for i in chosen])
            logits = self.net(**batch).logits
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor([labels[i] for i in chosen]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, craft["clip_norm"])
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return len(order)


def padded(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    """Token ids and mask, (batch, longest in the batch)."""
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [recipe()["pad_id"]] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
    }


class Mean:
    """Σ share·(endᵢ - start), added in float64 in the order given and rounded once, on top of the start."""

    def __init__(self, start: State, share: float) -> None:
        self.start, self.share, self.total = start, share, {}

    def add(self, end: State) -> None:
        """Take in where a member ended."""
        for name, value in end.items():
            moved = (value - self.start[name]).double() * self.share
            self.total[name] = self.total[name] + moved if name in self.total else moved

    def result(self) -> State:
        """Where everybody goes on from."""
        return {name: self.start[name] + total.float() for name, total in self.total.items()}
