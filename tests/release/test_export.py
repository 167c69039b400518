"""A release as other libraries load it: the same logits, and what the signatures cover said in the folder."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import transformers

from federation import taught_base
from foedus.core.digest import sha256_file
from foedus.core.errors import CallerError, RunError, VerifyError
from foedus.core.rng import PublicRng
from foedus.export import export, verified
from foedus.export import source as sources
from foedus.export.source import Source, apart, load, logits_of, probes
from foedus.export.to_onnx import run as run_onnx
from foedus.records import terms
from foedus.records.accord import Base, ReleaseTerms, Training
from foedus.state.base import base_digest
from foedus.train.export import export as write_model
from foedus.train.learn import logits_of as trained_logits
from foedus.train.lower import prepare
from foedus.train.model import build, start_state
from foedus.train.model import load as load_state
from release.tiny_consortium import LATER
from samples import sample_accord
from tuned import nudged

# peft asks transformers for something by an older name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TASKS = {
    "texts": terms.TextClassification(labels=("card", "loan", "transfer"), max_tokens=48),
    "entities": terms.TokenClassification(labels=("PER", "LOC"), max_tokens=48),
    "characters": terms.TokenClassification(labels=("PER", "LOC"), level="character", max_tokens=48),
}
METHODS = {
    "folded": (terms.Lora(rank=4, alpha=8), "folded", None),
    "adapter": (terms.Lora(rank=4, alpha=8), "adapter", None),
    "stack": (terms.Lora(rank=4, combine="stack"), "adapter", 3),
}


def released(folder, task="texts", method="folded"):
    """What `verified` gives of a release of that task and form, and the model that was trained."""
    settings, form, rank = METHODS[method]
    accord = sample_accord(
        task=TASKS[task],
        base=Base(source=f"folder:{taught_base()}", pin=base_digest(taught_base()), licence="Apache-2.0"),
        training=Training(method=settings, rounds=2, seed="export"),
        release=ReleaseTerms(licence="Apache-2.0", form=form, rank=rank),
    )
    model = build(taught_base(), accord.task, settings)
    state = nudged(model, start_state(model, base=taught_base(), rng=PublicRng("test", "start")))
    load_state(model, state)
    write_model(model, state, base=taught_base(), folder=folder / "model", form=form, rank=rank, source="hub:o/b@main")
    (folder / "model" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# card\n")
    named = SimpleNamespace(name="intents", version="1.0", digest="sha256:" + "1" * 64, model="sha256:" + "2" * 64,
                            accord=accord.digest)  # fmt: skip
    return Source(folder / "model", accord, named, "sha256:" + "3" * 64, 19, "2026-11-22T08:00:00Z", LATER), model


def compared(source, net):
    """The greatest difference between the release as its own library loads it and another model."""
    ours = load(source.model, source.accord)
    batches = probes(ours, source.accord)
    return apart(batches, [logits_of(ours, one) for one in batches], [net(one) for one in batches])


def called(net):
    def logits(batch):
        with torch.no_grad():
            return net.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits

    return logits


@pytest.mark.parametrize("task", TASKS)
def test_the_reference_is_the_model_that_was_trained(task, tmp_path):
    source, model = released(tmp_path, task)
    ours = load(source.model, source.accord)
    examples = [ours.task.example(text) for text in sources.texts(source.accord)]
    encoded = ours.task.encode(ours.tokenizer, examples)
    expected = torch.cat([logits for _, _, logits in trained_logits(model, prepare(model, encoded))])
    batch = ours.task.collate(encoded, ours.tokenizer.pad_token_id)
    assert apart([batch], [expected], [logits_of(ours, batch)]) < 1e-5


def test_the_texts_on_which_models_are_compared_are_short_and_longer_than_what_is_read(tmp_path):
    source, _ = released(tmp_path)
    ours = load(source.model, source.accord)
    lengths = {one["input_ids"].shape[1] for one in probes(ours, source.accord)}
    sizes = {one["input_ids"].shape[0] for one in probes(ours, source.accord)}
    assert max(lengths) == source.accord.task.max_tokens
    assert min(lengths) < 10
    assert len(sizes) >= 3


@pytest.mark.parametrize("task", ["texts", "entities"])
@pytest.mark.parametrize("method", ["adapter", "stack"])
def test_an_adapter_for_peft_is_the_releases_own_files(task, method, tmp_path):
    from peft import PeftModel

    source, _ = released(tmp_path, task, method)
    done = export(source, "peft", tmp_path / "out")
    assert done.difference == 0
    assert set(done.released) == set(done.files) == {path.name for path in source.model.iterdir()}
    ours = load(source.model, source.accord)
    base = getattr(transformers, ours.task.model_class).from_pretrained(taught_base(), **ours.task.head)
    assert compared(source, called(PeftModel.from_pretrained(base, tmp_path / "out"))) < 1e-5


def test_no_adapter_is_guessed_from_folded_weights(tmp_path):
    source, _ = released(tmp_path)
    with pytest.raises(CallerError) as error:
        export(source, "peft", tmp_path / "out")
    assert error.value.code == "export.no-adapter"
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_a_folder_for_transformers_gives_the_releases_logits(task, method, tmp_path):
    source, _ = released(tmp_path, task, method)
    done = export(source, "transformers", tmp_path / "out")
    assert done.difference < 1e-5
    kind = getattr(transformers, load(source.model, source.accord).task.model_class)
    net, told = kind.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert compared(source, called(net)) < 1e-5
    assert "model.safetensors" in done.files
    assert ("model.safetensors" in done.released) == (method == "folded")
    assert str(taught_base()) not in (tmp_path / "out" / "config.json").read_text()


def test_folding_gives_the_same_bytes_each_time(tmp_path):
    source, _ = released(tmp_path, method="adapter")
    done = [export(source, "transformers", tmp_path / name) for name in ("one", "two")]
    assert done[0].files == done[1].files


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", ["folded", "adapter"])
def test_onnx_gives_the_releases_logits_for_any_batch_and_length(task, method, tmp_path):
    import onnx

    source, _ = released(tmp_path, task, method)
    done = export(source, "onnx", tmp_path / "out")
    assert done.difference < 1e-4
    path = tmp_path / "out" / "model.onnx"
    onnx.checker.check_model(str(path))
    assert compared(source, lambda batch: run_onnx(path, [batch])[0]) < 1e-4
    shape = onnx.load(str(path)).graph.input[0].type.tensor_type.shape
    assert [bool(axis.dim_param) for axis in shape.dim] == [True, True]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert set(config["id2label"].values()) == set(load(source.model, source.accord).task.labels)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out")("card")["input_ids"]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_mlflow_loads_it_without_foedus_and_answers_as_the_release_does(task, tmp_path):
    source, _ = released(tmp_path, task)
    done = export(source, "mlflow", tmp_path / "out")
    assert done.difference < 1e-5
    ours = load(source.model, source.accord)
    asked = [" ".join(source.accord.task.labels), "Ada came to Paris"]
    examples = [ours.task.example(text) for text in asked]
    encoded = ours.task.encode(ours.tokenizer, examples)
    batch = ours.task.collate(encoded, ours.tokenizer.pad_token_id)
    expected = [ours.task.predict(*row) for row in zip(logits_of(ours, batch), encoded, examples, strict=True)]
    code = """
import json, sys
sys.modules["foedus"] = None  # importing it is an error here
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
texts = json.loads(sys.argv[2])
assert model.predict(pandas.DataFrame({"text": texts})) == model.predict(texts)
print(json.dumps(model.predict(texts)))
"""
    given = [str(tmp_path / "out"), json.dumps(asked)]
    env = {"HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, env=env)
    assert told.returncode == 0, told.stderr
    for got, wanted in zip(json.loads(told.stdout.splitlines()[-1]), expected, strict=True):
        if source.accord.task.name == "text-classification":
            assert got["label"] == wanted["label"]
            assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)
        else:
            assert got == wanted


@pytest.mark.slow
@pytest.mark.parametrize("form", ["transformers", "onnx", "mlflow"])
def test_each_folder_names_release_digest_and_anchor_and_what_the_signatures_cover(form, tmp_path):
    source, _ = released(tmp_path)
    done = export(source, form, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "FOEDUS.json").read_text())
    assert (told["release"], told["model"], told["anchor"]) == (
        "intents-1.0",
        "sha256:" + "2" * 64,
        "sha256:" + "3" * 64,
    )
    assert told["files"] == {
        str(path.relative_to(tmp_path / "out")): sha256_file(path)
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and not path.name.startswith("FOEDUS.")
    }
    ours = {path.name: sha256_file(path) for path in source.model.iterdir()}
    assert told["files_of_the_release"] == list(done.released)
    for name in told["files_of_the_release"]:
        assert ours[name.rpartition("/")[2]] == told["files"][name]
    text = (tmp_path / "out" / "FOEDUS.md").read_text()
    assert "not covered by the release's signatures" in text
    assert f"--anchor {source.anchor}" in text


def test_a_model_that_does_not_give_the_releases_logits_is_not_given(tmp_path, monkeypatch):
    from foedus.export import to_transformers

    source, _ = released(tmp_path, method="adapter")
    monkeypatch.setattr(to_transformers, "dense", lambda state, alpha: {})  # the adapter is forgotten
    with pytest.raises(RunError) as error:
        export(source, "transformers", tmp_path / "out")
    assert error.value.code == "export.differs"
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    source, _ = released(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(CallerError) as error:
        export(source, "transformers", tmp_path / "out")
    assert error.value.code == "export.folder-exists"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_what_differs_in_shape_or_is_not_finite_is_infinitely_far_apart():
    batch = {"input_ids": torch.ones(1, 2), "attention_mask": torch.tensor([[1, 0]])}
    zero, one = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    assert apart([batch], [zero], [zero]) == 0
    assert apart([batch], [zero], [torch.cat([zero[:, :1], one[:, 1:]], dim=1)]) == 0  # padding does not count
    assert apart([batch], [zero], [one]) == 1
    assert apart([batch], [zero], [zero[:, :1]]) == float("inf")
    assert apart([batch], [zero], [zero * float("nan")]) == float("inf")


def test_only_what_verifies_is_exported(world, bundle):
    options = {"anchor": world.accord.digest, "at": LATER}
    with verified(world.folder(), **options) as source:
        assert source.name == "intents-1.0.0"
        assert (source.model / "model.safetensors").is_file()
    with pytest.raises(VerifyError) as error, verified(world.folder(), anchor=None, at=LATER):
        pass
    assert error.value.code == "export.not-verified"
    card = bundle / "model" / "README.md"
    card.write_bytes(card.read_bytes() + b" ")
    with pytest.raises(VerifyError) as error, verified(bundle, **options):
        pass
    assert error.value.code == "release.model-changed"
    shutil.rmtree(bundle)
