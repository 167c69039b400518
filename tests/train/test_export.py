"""What is released loads with the stock libraries and gives our logits."""

import json

import pytest
import torch
import transformers
from peft import PeftModel

from federation import taught_base
from foedus.combine.lora import dense
from foedus.core.errors import CallerError
from foedus.core.rng import PublicRng
from foedus.records import terms
from foedus.state import norm, product
from foedus.train.export import export
from foedus.train.learn import logits_of
from foedus.train.lower import prepare
from foedus.train.model import build, load, start_state
from tuned import ENTITIES, TASK, examples, nudged

# peft asks transformers for something by an older name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

METHODS = {
    "full": terms.Full(),
    "full-top": terms.Full(top_layers=1),
    "head": terms.Head(),
    "alternate": terms.Lora(rank=4, alpha=8),
    "stack": terms.Lora(rank=4, combine="stack"),
}


def after_training(method, task):
    """A model with a state that is not the start: every value moved."""
    model = build(taught_base(), task, method)
    state = nudged(model, start_state(model, base=taught_base(), rng=PublicRng("test", "start")))
    load(model, state)
    return model, state


def ours(model, encoded):
    return torch.cat([logits for _, _, logits in logits_of(model, prepare(model, encoded))])


def theirs(net, model, encoded):
    batch = model.task.collate(encoded, model.tokenizer.pad_token_id)
    with torch.no_grad():
        return net.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


def apart(model, net, encoded):
    """The largest difference over what is no padding."""
    expected, got = ours(model, encoded), theirs(net, model, encoded)
    if got.dim() == 2:
        return float((got - expected).abs().max())
    real = torch.tensor([[i < len(e.input_ids) for i in range(got.shape[1])] for e in encoded])
    return float((got - expected)[real].abs().max())


@pytest.mark.parametrize("task", [TASK, ENTITIES], ids=["texts", "entities"])
@pytest.mark.parametrize("name", METHODS)
def test_a_folded_release_loads_with_transformers_and_gives_our_logits(tmp_path, name, task):
    model, state = after_training(METHODS[name], task)
    residual = export(model, state, base=taught_base(), folder=tmp_path / "model", form="folded")
    assert residual == {}
    net, report = getattr(transformers, model.task.model_class).from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert apart(model, net, examples(6, model, task=task)) < 1e-5
    assert net.config.id2label == dict(enumerate(model.task.labels))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer("card loan")["input_ids"] == model.tokenizer("card loan")["input_ids"]
    assert not list((tmp_path / "model").glob("*.bin"))


def test_the_folded_config_names_no_path_of_this_machine(tmp_path):
    model, state = after_training(terms.Head(), TASK)
    export(model, state, base=taught_base(), folder=tmp_path, form="folded")
    assert str(taught_base()) not in (tmp_path / "config.json").read_text()
    assert "foedus" not in (tmp_path / "config.json").read_text()


def adapter_on_base(folder, model):
    kind = getattr(transformers, model.task.model_class)
    return PeftModel.from_pretrained(kind.from_pretrained(taught_base(), **model.task.head), folder)


@pytest.mark.parametrize("task", [TASK, ENTITIES], ids=["texts", "entities"])
@pytest.mark.parametrize("name", ["alternate", "stack"])
def test_an_adapter_release_loads_with_peft_and_gives_our_logits(tmp_path, name, task):
    model, state = after_training(METHODS[name], task)
    rank = 32 if name == "stack" else None
    residual = export(
        model, state, base=taught_base(), folder=tmp_path, form="adapter", rank=rank, source="hub:owner/base@main"
    )
    assert apart(model, adapter_on_base(tmp_path, model), examples(6, model, task=task)) < 1e-5
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("owner/base", "main")
    if name == "stack":
        assert residual["residual_norm"] < 1e-4 * residual["delta_norm"]


def test_a_stacked_adapter_of_lower_rank_says_truly_what_it_leaves_out(tmp_path):
    from safetensors.torch import load_file

    model, state = after_training(METHODS["stack"], TASK)
    residual = export(model, state, base=taught_base(), folder=tmp_path, form="adapter", rank=3)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    rest = {}
    for name in model.pinned:
        stem = "base_model.model." + name.removesuffix(".weight")
        made = product(saved[stem + ".lora_B.weight"], saved[stem + ".lora_A.weight"])
        rest[name] = state[name] - made
    assert residual["residual_norm"] == pytest.approx(norm(rest), rel=1e-5)
    assert residual["delta_norm"] == pytest.approx(norm({name: state[name] for name in model.pinned}), rel=1e-6)
    assert residual["residual_norm"] > 0.1 * residual["delta_norm"]
    assert adapter_on_base(tmp_path, model)


def test_an_adapter_of_a_method_without_factors_is_refused(tmp_path):
    model, state = after_training(terms.Head(), TASK)
    with pytest.raises(CallerError) as caught:
        export(model, state, base=taught_base(), folder=tmp_path, form="adapter")
    assert (caught.value.code, caught.value.fields) == ("train.not-an-adapter", {"got": "head"})


def test_equal_states_give_equal_files(tmp_path):
    for name in ("one", "other"):
        model, state = after_training(METHODS["alternate"], TASK)
        export(model, state, base=taught_base(), folder=tmp_path / name, form="adapter")
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


def test_the_exported_product_is_scaled_by_alpha_over_rank():
    _, state = after_training(METHODS["alternate"], TASK)
    stem = next(name for name in state if name.endswith(".lora_A.weight")).removesuffix(".lora_A.weight")
    expected = 2 * state[stem + ".lora_B.weight"].double() @ state[stem + ".lora_A.weight"].double()
    assert torch.allclose(dense(state, alpha=8)[stem + ".weight"].double(), expected, atol=1e-6)
