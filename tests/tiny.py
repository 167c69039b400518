"""A base model for tests: a two-layer BERT over bytes, made in a second or two, nothing downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils import logging

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_base(folder: Path, *, seed: int = 0, words: Sequence[str] = (), steps: int = 0) -> Path:
    """Write config.json, model.safetensors and a tokenizer into `folder`, and give the folder.

    Hidden size 32, two layers, two heads, 128 positions; tokens are the bytes, five special ones and each of `words`.
    Values are random; `steps` of training teach it to tell which of `words` a text holds, so that it is worth tuning.
    """
    logging.disable_progress_bar()
    tokenizer = _tokenizer(words)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config)
        if steps:
            first = tokenizer.token_to_id(words[0])
            _teach_words(model, range(first, first + len(words)), steps)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names)
    fast.save_pretrained(folder)
    return folder


def _teach_words(model: BertModel, words: range, steps: int) -> None:
    """Train the model until what it makes of a text tells which words stand in it."""
    head = torch.nn.Linear(32, len(words))
    optimiser = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(steps):
        chosen = torch.randint(len(words), (32, 3))  # (texts, words)
        rows = torch.cat([torch.full((32, 1), 2), chosen + words.start, torch.full((32, 1), 3)], dim=1)
        held = torch.zeros(32, len(words)).scatter_(1, chosen, 1.0)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(model(rows).pooler_output), held)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def _tokenizer(words: Sequence[str]) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=SPECIAL[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_tokens(list(words))
    return tokenizer
