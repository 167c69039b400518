"""Steps by hand, the cache of frozen layers, and the gradient along a path."""

import math
import resource
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import clip_grad_norm_

from federation import WORDS, taught_base
from foedus.core.errors import CallerError, RunError
from foedus.core.rng import PublicRng
from foedus.records import terms
from foedus.state import digest, norm, subtract
from foedus.tasks import Encoded
from foedus.train import packing
from foedus.train.export import folded
from foedus.train.learn import Span as Rounds
from foedus.train.learn import batches_of, factor, gradient_along, learn, logits_of, mean_loss, steps_a_round
from foedus.train.lower import Prepared, batch_of, forward, prepare
from foedus.train.model import build, fresh_adapter, load, parameter_of, read, shape_of
from tiny import tiny_base
from tuned import ENTITIES, TASK, examples, made, nudged

MAPS = Path("/proc/self/maps")
METHODS = {
    "full": terms.Full(),
    "full-top": terms.Full(top_layers=1),
    "head": terms.Head(),
    "lora": terms.Lora(rank=2),
    "lora-top": terms.Lora(rank=2, top_layers=1),
    "stack": terms.Lora(rank=2, combine="stack"),
    "stack-top": terms.Lora(rank=2, combine="stack", top_layers=1),
}
CRAFT = terms.Craft(batch_size=4, learning_rate="0.01", dropout="0")


def plain_logits(model, state, encoded):
    """What the stock network gives for this state, with padding and without any cache."""
    task, tensors = model.task, folded(model, state)
    net = getattr(transformers, task.model_class).from_pretrained(taught_base(), **task.head)
    net.load_state_dict(tensors)
    batch = task.collate(encoded, model.tokenizer.pad_token_id)
    with torch.no_grad():
        return net.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch


def our_logits(model, encoded):
    return torch.cat([logits for _, _, logits in logits_of(model, prepare(model, encoded))])


@pytest.mark.parametrize("task", [TASK, ENTITIES], ids=["texts", "entities"])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("count", [1, 7])
def test_kept_lower_layers_give_the_logits_of_the_whole_network(name, task, count):
    model, state = made(METHODS[name], task=task)
    state = nudged(model, state)
    load(model, state)
    encoded = examples(count, model, task=task)
    longer = encoded[0]
    encoded[0] = Encoded(longer.input_ids[:2] + longer.input_ids[-1:], longer.labels[:3], longer.words[:3])
    data = prepare(model, encoded)
    assert (data.hidden is not None) == name.endswith(("top", "head"))
    ((_, batch, logits),) = logits_of(model, data)
    expected, plain = plain_logits(model, state, encoded)
    real = plain["attention_mask"].bool() if task is ENTITIES else slice(None)
    # Other kernels add in another order: equal to float32's rounding, not to the bit.
    assert (logits[real] - expected[real]).abs().max() < 1e-5
    assert model.task.loss(logits, batch).shape == (count,)


@pytest.mark.parametrize("name", ["full-top", "head", "lora-top", "stack-top"])
def test_gradients_are_the_same_with_and_without_kept_layers(name):
    model, state = made(METHODS[name])
    moved = nudged(model, state)
    encoded = examples(5, model)
    kept, whole = prepare(model, encoded), Prepared(encoded, None)
    one = gradient_along(model, kept, state, moved, points=1)
    other = gradient_along(model, whole, state, moved, points=1)
    assert one.keys() == other.keys() == state.keys()
    for name in one:
        assert torch.allclose(one[name], other[name], atol=1e-6), name


def test_the_mean_loss_is_the_mean_of_each_examples_loss():
    model, _ = made(terms.Head())
    encoded = examples(5, model)
    each = [mean_loss(model, prepare(model, [one])) for one in encoded]
    assert mean_loss(model, prepare(model, encoded)) == pytest.approx(sum(each) / 5, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 3),
        ({"epochs": 2}, 6),
        ({"accumulation": 2}, 2),
        ({"epochs": 3, "max_steps": 4}, 4),
        ({"batch_size": 10}, 1),
    ],
)
def test_steps_a_round_of_ten_examples(settings, steps):
    craft = terms.Craft(**{"batch_size": 4, **settings})
    assert steps_a_round(10, craft) == steps
    model, _ = made(terms.Head())
    data = prepare(model, examples(10, model))
    rounds = Rounds(1, 2, 2)
    assert learn(model, data, model.head, craft=craft, span=rounds, seed=("s", "m")) == 2 * steps


def test_the_schedule_rises_through_the_warm_up_and_falls_over_the_run():
    warm = terms.Craft(warmup_bp=2000)
    assert [factor(warm, step, 10) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8])
    assert factor(warm, 9, 10) == pytest.approx(1 / 8)
    assert [factor(terms.Craft(schedule="constant"), step, 4) for step in range(4)] == [1, 1, 1, 1]
    cosine = [factor(terms.Craft(schedule="cosine"), step, 4) for step in range(4)]
    assert cosine == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])


def test_a_later_round_goes_on_in_the_schedule_where_the_one_before_it_ended(monkeypatch):
    rates = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: rates.append(self.param_groups[0]["lr"]) or step(self))
    model, _ = made(terms.Head())
    data = prepare(model, examples(8, model))
    craft = terms.Craft(batch_size=4, learning_rate="0.01")
    for span in (Rounds(1, 1, 2), Rounds(2, 2, 2)):
        learn(model, data, model.head, craft=craft, span=span, seed=("s", "m"))
    assert rates == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
    rates.clear()
    learn(model, data, model.head, craft=craft, span=Rounds(1, 2, 2), seed=("s", "m"))
    assert rates == pytest.approx([0.01, 0.0075, 0.005, 0.0025])


def by_hand(state, encoded, craft, *, rates, steps_before=0):
    """AdamW written out over whole batches in the order that `learn` takes, for the head."""
    model, _ = made(terms.Head())
    load(model, state)
    data = Prepared(encoded, None)
    parameters = [model.trained[name] for name in sorted(model.head)]
    first, second = [torch.zeros_like(p) for p in parameters], [torch.zeros_like(p) for p in parameters]
    order = PublicRng("s", "m", 1, "order").shuffled(range(len(encoded)))
    size = craft.batch_size * craft.accumulation
    for step, rate in enumerate(rates, start=1):
        batch = batch_of(model, data, order[(step - 1) * size : step * size])
        loss = model.task.loss(forward(model, batch), batch).mean()
        gradients = list(torch.autograd.grad(loss, parameters))
        if craft.clip_norm:
            length = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))
            gradients = [g * min(1.0, float(craft.clip_norm) / (length + 1e-6)) for g in gradients]
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                p.mul_(1 - rate * float(craft.weight_decay))
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.999).add_(g * g, alpha=0.001)
                p.sub_(rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
    return read(model)


@pytest.mark.parametrize("settings", [
    {}, {"warmup_bp": 4000, "schedule": "cosine"}, {"clip_norm": "0.01"}, {"clip_norm": None, "weight_decay": "0.5"},
    {"accumulation": 2, "batch_size": 2},
])  # fmt: skip
def test_a_round_is_adamw_with_schedule_clipping_and_decay_as_written_out_by_hand(settings):
    craft = terms.Craft(**{"batch_size": 4, "learning_rate": "0.01", "dropout": "0", **settings})
    model, state = made(terms.Head(), dropout="0")
    encoded = examples(10, model)
    learn(model, Prepared(encoded, None), model.head, craft=craft, span=Rounds(1, 1, 2), seed=("s", "m"))
    steps = steps_a_round(10, craft)
    rates = [0.01 * factor(craft, step, 2 * steps) for step in range(steps)]
    expected = by_hand(state, encoded, craft, rates=rates)
    for name, value in read(model).items():
        assert torch.allclose(value, expected[name], atol=2e-6), name


def test_accumulated_micro_batches_equal_one_large_batch_though_the_last_is_smaller():
    ends = []
    for batch, times in ((8, 1), (4, 2), (2, 4)):
        model, _ = made(terms.Full(top_layers=1), dropout="0")
        craft = terms.Craft(batch_size=batch, accumulation=times, learning_rate="0.001", dropout="0")
        data = prepare(model, examples(11, model))
        learn(model, data, frozenset(model.trained), craft=craft, span=Rounds(1, 1, 1), seed=("s", "m"))
        ends.append(read(model))
    # A key's bias adds the same to all scores of a query: its gradient is rounding, which Adam makes large.
    for name in (name for name in ends[0] if not name.endswith("key.bias")):
        assert torch.allclose(ends[0][name], ends[1][name], atol=1e-5), name
        assert torch.allclose(ends[0][name], ends[2][name], atol=1e-5), name


def test_a_text_has_the_same_logits_alone_and_among_shorter_and_longer_ones_in_any_order():
    model, state = made(METHODS["full"])
    load(model, nudged(model, state))
    encoded = [Encoded(one.input_ids[: 3 + 5 * i % 13], one.labels, ()) for i, one in enumerate(examples(11, model))]
    assert len({len(one.input_ids) for one in encoded}) > packing.GROUP
    alone = torch.cat([our_logits(model, [one]) for one in encoded])
    order = [7, 0, 10, 3, 5, 1, 9, 2, 8, 4, 6]
    assert torch.allclose(our_logits(model, encoded), alone, atol=1e-6)
    assert torch.allclose(our_logits(model, [encoded[i] for i in order]), alone[order], atol=1e-6)


def test_gradients_are_clipped_in_an_order_that_no_hash_seed_changes(monkeypatch):
    model, _ = made(terms.Full())
    seen = []
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda p, n: seen.append(list(p)) or clip_grad_norm_(p, n))
    craft = terms.Craft(batch_size=4, max_steps=1)
    data = prepare(model, examples(4, model))
    learn(model, data, frozenset(model.trained), craft=craft, span=Rounds(1, 1, 1), seed=("s", "m"))
    assert [id(p) for p in seen[0]] == [id(model.trained[name]) for name in sorted(model.trained)]


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    size=st.integers(1, 12),
    batching=st.sampled_from(["shuffled", "length-buckets"]),
    seed=st.text(max_size=3),
)
def test_a_pass_holds_every_example_once_in_full_batches_but_one(lengths, size, batching, seed):
    craft = terms.Craft(batch_size=size, batching=batching)
    batches = batches_of(lengths, craft, PublicRng(seed, "order"))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert sorted(map(len, batches))[1:] == [size] * (len(batches) - 1)
    assert batches == batches_of(lengths, craft, PublicRng(seed, "order"))


def test_length_buckets_put_like_lengths_together_and_no_length_first():
    lengths, craft = [i % 10 for i in range(200)], terms.Craft(batch_size=20, batching="length-buckets")
    passes = [batches_of(lengths, craft, PublicRng(str(seed))) for seed in range(4)]
    for batches in passes:
        assert all(len({lengths[i] for i in batch}) == 1 for batch in batches)
    assert len({tuple(lengths[batch[0]] for batch in batches) for batches in passes}) == 4
    assert len({tuple(sorted(batches)[0]) for batches in passes}) == 4  # nor do the same examples stay together


@pytest.mark.parametrize("name", ["full", "lora", "stack-top"])
def test_bfloat16_is_for_the_steps_alone_and_ends_near_float32(name, monkeypatch):
    monkeypatch.setattr("foedus.train.learn.computes_bfloat16", lambda: True)
    ends = {}
    for precision in ("float32", "bfloat16"):
        model, state = made(METHODS[name], dropout="0")
        data = prepare(model, examples(12, model))
        craft = CRAFT.model_copy(update={"precision": precision})
        learn(model, data, frozenset(model.trained), craft=craft, span=Rounds(1, 1, 1), seed=("s", "m"))
        assert {value.dtype for value in read(model).values()} == {torch.float32}
        assert all(parameter.grad is None for parameter in model.trained.values())
        ends[precision] = read(model)
        assert {logits.dtype for _, _, logits in logits_of(model, data)} == {torch.float32}
    assert digest(ends["float32"]) != digest(ends["bfloat16"])
    far = sum(float((ends["float32"][n] - v).square().sum()) for n, v in ends["bfloat16"].items()) ** 0.5
    way = sum(float((v - state.get(n, 0 * v)).square().sum()) for n, v in ends["float32"].items()) ** 0.5
    assert far < way / 2


@pytest.mark.parametrize("name", ["full", "lora-top"])
def test_in_bfloat16_the_row_of_tokens_has_few_lengths_and_the_same_logits(name, monkeypatch):
    model, _ = made(METHODS[name], dropout="0")
    seen = set()
    for layer in model.layers:
        layer.attention.register_forward_pre_hook(lambda _, given: seen.add(given[0].shape[1]))
    logits = {}
    for multiple in (1, packing.ROUND):
        monkeypatch.setattr(packing, "ROUND", multiple)
        for count in (1, 3, 5):
            data = prepare(model, examples(count, model))
            seen.clear()
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                told = forward(model, batch_of(model, data, range(count))).float()
            assert all(length % multiple == 0 for length in seen), seen
            logits.setdefault(count, []).append(told)
    for plain, filled in logits.values():
        assert plain.shape == filled.shape
        assert (plain - filled).abs().max() < 0.02  # bfloat16 has eight bits, and kernels choose by shape


def test_a_processor_without_bfloat16_says_so_before_any_step(monkeypatch):
    monkeypatch.setattr("foedus.train.learn.computes_bfloat16", lambda: False)
    model, _ = made(terms.Head(), dropout="0")
    before, data = read(model), prepare(model, examples(4, model))
    craft = CRAFT.model_copy(update={"precision": "bfloat16"})
    with pytest.raises(RunError) as caught:
        learn(model, data, model.head, craft=craft, span=Rounds(1, 1, 1), seed=("s", "m"))
    assert caught.value.code == "train.no-bfloat16"
    assert all(torch.equal(value, before[name]) for name, value in read(model).items())


@pytest.mark.parametrize("name", ["lora-top", "stack-top", "head"])
def test_kept_layers_give_the_same_bits_from_a_file_as_from_memory(name, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ends = []
    for limit in (1 << 20, 0):
        monkeypatch.setattr("foedus.train.lower.IN_MEMORY_BYTES", limit)
        model, _ = made(METHODS[name], dropout="0")
        data = prepare(model, examples(12, model))
        mapped = "(deleted)" in "".join(line for line in MAPS.read_text().splitlines() if str(tmp_path) in line)
        assert mapped == (limit == 0)
        learn(model, data, frozenset(model.trained), craft=CRAFT, span=Rounds(1, 2, 2), seed=("s", "m"))
        ends.append((digest(read(model)), mean_loss(model, data)))
    assert ends[0] == ends[1]
    assert not list(tmp_path.iterdir())


def test_kept_layers_that_find_no_room_on_the_disk_are_a_named_error(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("foedus.train.lower.IN_MEMORY_BYTES", 0)
    model, _ = made(METHODS["lora-top"], dropout="0")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # as on a full disk: no file longer than this
    try:
        with pytest.raises(RunError) as caught:
            prepare(model, examples(12, model))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.code, caught.value.fields["path"]) == ("files.cannot-write", str(tmp_path))


@pytest.mark.parametrize("name", ["lora-top", "full-top", "head"])
def test_keeping_layers_changes_nothing_but_how_products_are_rounded(name):
    ends = []
    for keeps in (True, False):
        model, start = made(METHODS[name], dropout="0")
        model.depth = model.depth if keeps else 0
        data = prepare(model, examples(12, model))
        assert (data.hidden is not None) == keeps
        learn(model, data, frozenset(model.trained), craft=CRAFT, span=Rounds(1, 2, 2), seed=("s", "m"))
        ends.append(read(model))
    assert norm(subtract(*ends)) < 1e-3 * norm(subtract(ends[0], start))


def test_a_model_may_be_built_to_pad_every_batch_and_keep_no_layer():
    told = {}
    for packs in (True, False):
        model = build(taught_base(), TASK, METHODS["lora-top"], dropout="0", packs=packs)
        load(model, made(METHODS["lora-top"])[1])
        data = prepare(model, examples(5, model))
        assert (model.depth > 0, data.hidden is not None, model.reads_first) == (packs, packs, packs)
        told[packs] = torch.cat([logits for _, _, logits in logits_of(model, data)])
    assert (told[True] - told[False]).abs().max() < 1e-5


def trained(method, *, seed="s", dropout="0.1", span=None):
    model, _ = made(method, dropout=dropout)
    data = prepare(model, examples(12, model))
    span = span or Rounds(1, 1, 2)
    learn(model, data, frozenset(model.trained), craft=CRAFT, span=span, seed=(seed, "run", "m"))
    return read(model)


@pytest.mark.parametrize("name", ["full", "lora-top"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name):
    assert digest(trained(METHODS[name])) == digest(trained(METHODS[name]))
    assert digest(trained(METHODS[name])) != digest(trained(METHODS[name], seed="t"))


def test_dropout_draws_again_in_each_round():
    model, _ = made(terms.Full(), dropout="0.5")
    assert model.net.config.hidden_dropout_prob == 0.5
    assert model.net.config.attention_probs_dropout_prob == 0.5
    first, second = trained(terms.Full(), span=Rounds(1, 1, 2)), trained(terms.Full(), span=Rounds(2, 2, 2))
    assert digest(first) != digest(second)
    assert made(terms.Full())[0].net.config.hidden_dropout_prob == 0.1


def test_the_head_learns_at_a_rate_of_its_own():
    ends = {}
    for rate in (None, "0.02"):
        model, state = made(terms.Full(), dropout="0")
        craft = terms.Craft(
            batch_size=4, max_steps=1, learning_rate="0.001", head_learning_rate=rate, clip_norm=None, weight_decay="0"
        )
        data = prepare(model, examples(4, model))
        learn(model, data, frozenset(model.trained), craft=craft, span=Rounds(1, 1, 1), seed=("s", "m"))
        ends[rate] = subtract(read(model), state)
    for name in ends[None]:
        times = 20 if name in model.head else 1
        assert torch.allclose(ends["0.02"][name], times * ends[None][name], atol=2e-6), name


def test_only_the_names_that_a_round_trains_move():
    model, state = made(terms.Lora(rank=2), dropout="0")
    names = frozenset(name for name in model.trained if not name.endswith(".lora_A.weight"))
    data = prepare(model, examples(8, model))
    learn(model, data, names, craft=CRAFT, span=Rounds(1, 1, 1), seed=("s", "m"))
    after = read(model)
    assert {name for name in state if not torch.equal(state[name], after[name])} == names


def test_training_that_diverges_says_in_which_round_and_step():
    model, state = made(terms.Head())
    load(model, {name: torch.full_like(value, float("inf")) for name, value in state.items()})
    data = prepare(model, examples(8, model))
    with pytest.raises(RunError) as caught:
        learn(model, data, model.head, craft=CRAFT, span=Rounds(2, 2, 3), seed=("s", "m"))
    assert (caught.value.code, caught.value.fields) == ("train.diverged", {"round": 2, "step": 1})


# ── the gradient along a path ────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["full", "head", "lora-top", "stack"])
def test_the_gradient_along_a_path_times_the_way_is_the_difference_in_loss(name):
    model, state = made(METHODS[name])
    data = prepare(model, examples(9, model))
    moved = nudged(model, state, by=0.01)
    if not model.stacks:
        craft = terms.Craft(batch_size=4, learning_rate="0.0005", schedule="constant")
        learn(model, data, frozenset(model.trained), craft=craft, span=Rounds(1, 1, 1), seed=("s", "m"))
        moved = read(model)
    losses = []
    for end in (state, moved):
        load(model, end)
        losses.append(mean_loss(model, data))
    gradient = gradient_along(model, data, state, moved, points=3)
    way = sum(float((gradient[n].double() * (moved[n] - state[n]).double()).sum()) for n in gradient)
    assert abs(losses[1] - losses[0]) > 1e-4
    assert way == pytest.approx(losses[1] - losses[0], rel=0.01)


@pytest.mark.parametrize("name", ["full", "stack"])
def test_the_gradient_at_a_point_is_what_small_steps_show(name):
    model, state = made(METHODS[name])
    there = nudged(model, state)
    near = {n: v + 1e-6 for n, v in there.items()}
    data = prepare(model, examples(6, model))
    gradient = gradient_along(model, data, there, near, points=1)
    tensor = next(n for n in gradient if n.endswith("layer.1.attention.self.value.weight"))
    place = divmod(int(gradient[tensor].abs().argmax()), gradient[tensor].shape[1])
    losses = []
    for step in (1e-2, -1e-2):
        other = {**there, tensor: there[tensor].clone()}
        other[tensor][place] += step
        load(model, other)
        losses.append(mean_loss(model, data))
    assert (losses[0] - losses[1]) / 2e-2 == pytest.approx(float(gradient[tensor][place]), rel=0.02)


def test_a_name_that_stays_has_no_gradient():
    model, state = made(terms.Head())
    name = sorted(state)[0]
    moved = {**state, name: state[name] + 0.1}
    assert set(gradient_along(model, prepare(model, examples(3, model)), state, moved, points=2)) == {name}


# ── models ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", METHODS)
def test_a_state_comes_back_as_it_was_loaded(name):
    model, state = made(METHODS[name])
    there = nudged(model, state)
    load(model, there)
    assert set(shape_of(model)) == set(state)
    for key in state:
        value = parameter_of(model, key).detach()
        expected = there[key] + model.pinned[key] if key in model.pinned else there[key]
        assert torch.equal(value, expected), key


@pytest.mark.parametrize("name", ["lora", "stack"])
def test_a_fresh_adapter_leaves_the_logits_as_they_were(name):
    adapted, state = made(METHODS[name])
    bare, _ = made(terms.Head())
    head = {key: value for key, value in state.items() if key in bare.head}
    load(bare, head)
    encoded = examples(5, bare)
    if adapted.stacks:
        fresh_adapter(adapted, PublicRng("test", "adapter"))
    # Nothing is kept for the one and all layers for the other: equal to float32's rounding.
    assert (our_logits(adapted, encoded) - our_logits(bare, encoded)).abs().max() < 1e-5


def test_the_start_state_has_the_same_bits_each_time_and_b_is_zero():
    _, one = made(terms.Lora(rank=2))
    _, other = made(terms.Lora(rank=2))
    assert digest(one) == digest(other)
    assert all(not value.any() for name, value in one.items() if name.endswith(".lora_B.weight"))
    assert all(value.any() for name, value in one.items() if name.endswith(".lora_A.weight"))


def test_full_names_the_upper_layers_and_the_head_only():
    model, _ = made(terms.Full(top_layers=1))
    assert model.depth == 1
    assert {name.split("encoder.layer.")[1][0] for name in model.trained if "encoder.layer." in name} == {"1"}
    assert not [name for name in model.trained if "embeddings" in name]
    assert [name for name in made(terms.Full())[0].trained if "embeddings" in name]


@pytest.mark.parametrize(
    ("method", "code"),
    [
        (terms.Full(top_layers=3), "train.too-many-layers"),
        (terms.Lora(top_layers=9), "train.too-many-layers"),
        (terms.Lora(targets=("no_such_layer",)), "train.no-such-layer"),
    ],
)
def test_a_method_that_the_base_cannot_have_is_refused_by_name(method, code):
    with pytest.raises(CallerError) as caught:
        made(method)
    assert caught.value.code == code
    assert str(caught.value)


def test_an_unknown_target_is_answered_with_the_linear_layers_there_are():
    with pytest.raises(CallerError) as caught:
        made(terms.Lora(targets=("q_proj",)))
    assert {"query", "key", "value", "dense"} <= set(caught.value.fields["known"].split(", "))


def broken(tmp_path, change):
    folder = tiny_base(tmp_path / "base", words=WORDS["card"])
    change(folder)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("{"),
        lambda folder: (folder / "config.json").write_text('{"model_type": "no-such-type"}'),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 100),
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
    ],
    ids=["no-config", "torn-config", "unknown-type", "no-weights", "zeros", "cut-weights"],
)
def test_a_base_that_cannot_be_read_is_a_named_error(tmp_path, change):
    with pytest.raises(CallerError) as caught:
        build(broken(tmp_path, change), TASK, terms.Head())
    assert caught.value.code == "train.unreadable-base"


def test_a_base_without_some_of_its_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    def change(folder):
        tensors = load_file(folder / "model.safetensors")
        del tensors["encoder.layer.1.output.dense.weight"]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(CallerError) as caught:
        build(broken(tmp_path, change), TASK, terms.Head())
    assert "encoder.layer.1.output.dense.weight" in caught.value.fields["reason"]
