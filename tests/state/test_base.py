from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from foedus.core.errors import CallerError, FoedusError, IdentityError, VerifyError
from foedus.core.messages import LANGUAGES, error_text
from foedus.state import digest
from foedus.state.base import base_digest, locate, open_base


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer.json").write_text("{}")
    save_file({"b": torch.arange(4.0).reshape(2, 2), "a": torch.ones(3, dtype=torch.float16)}, folder / "x.safetensors")
    return folder


def refused(code: str, call, *arguments) -> FoedusError:
    with pytest.raises(FoedusError) as caught:
        call(*arguments)
    assert caught.value.code == code
    for lang in LANGUAGES:
        assert error_text(caught.value, lang=lang).do
    return caught.value


def test_the_digest_is_the_documented_bytes(base: Path) -> None:
    tensors = b'["a","F16",[3]]\n' + torch.ones(3, dtype=torch.float16).numpy().tobytes()
    tensors += b'["b","F32",[2,2]]\n' + torch.arange(4.0).numpy().tobytes()
    files = {
        "config.json": "sha256:" + sha256(b'{"model_type": "bert"}').hexdigest(),
        "tokenizer.json": "sha256:" + sha256(b"{}").hexdigest(),
    }
    body = {"files": files, "format": "foedus base v1", "tensors": "sha256:" + sha256(tensors).hexdigest()}
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    assert base_digest(base) == "sha256:" + sha256(text).hexdigest()
    assert body["tensors"] == digest(load_file(base / "x.safetensors"))


def test_sharding_does_not_enter_the_digest(base: Path) -> None:
    before = base_digest(base)
    state = load_file(base / "x.safetensors")
    (base / "x.safetensors").unlink()
    for name, tensor in state.items():
        save_file({name: tensor}, base / f"model-{name}.safetensors", metadata={"format": "pt"})
    (base / "README.md").write_text("A card may change.")
    assert base_digest(base) == before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "x.safetensors"])
def test_one_changed_byte_changes_the_digest(base: Path, name: str) -> None:
    before = base_digest(base)
    data = bytearray((base / name).read_bytes())
    if name == "x.safetensors":
        data[-1] ^= 1
    else:
        data += b" "
    (base / name).write_bytes(data)
    assert base_digest(base) != before
    error = refused("base.differs", open_base, f"folder:{base}", before)
    assert isinstance(error, VerifyError)
    assert error.exit_code == 6
    assert before in str(error)
    assert base_digest(base) in str(error)


def test_the_pinned_base_opens(base: Path) -> None:
    assert open_base(f"folder:{base}", base_digest(base)) == base


@pytest.mark.parametrize(
    ("file", "content", "code"),
    [
        ("config.json", b'{"auto_map": {"AutoModel": "evil.Model"}}', "base.names-code"),
        ("tokenizer_config.json", b'{"auto_map": {"AutoTokenizer": "evil.T"}}', "base.names-code"),
        ("config.json", b"{", "base.malformed"),
        ("config.json", b"[]", "base.malformed"),
        ("x.safetensors", b"", "base.malformed"),
        ("x.safetensors", b"\x80\x02pickle", "base.malformed"),
        ("x.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00[]", "base.malformed"),
    ],
)
def test_a_base_that_is_more_than_data_or_less_is_refused(base: Path, file: str, content: bytes, code: str) -> None:
    (base / file).write_bytes(content)
    assert refused(code, base_digest, base).exit_code == 2


def test_a_truncated_file_is_refused_by_name(base: Path) -> None:
    data = (base / "x.safetensors").read_bytes()
    for size in (5, 40, len(data) - 1):
        (base / "x.safetensors").write_bytes(data[:size])
        assert "x.safetensors" in str(refused("base.malformed", base_digest, base))
    (base / "x.safetensors").write_bytes(data + b"\0")
    refused("base.malformed", base_digest, base)


def test_what_is_missing_is_named(base: Path) -> None:
    (base / "config.json").unlink()
    refused("base.no-config", base_digest, base)
    (base / "config.json").write_text("{}")
    (base / "x.safetensors").rename(base / "pytorch_model.bin")
    refused("base.no-safetensors", base_digest, base)


def test_a_tensor_in_two_files_is_refused(base: Path) -> None:
    save_file({"a": torch.zeros(1)}, base / "y.safetensors")
    refused("base.tensor-twice", base_digest, base)


@pytest.mark.parametrize("source", ["", "folder:", "package:../x", "hub:owner/name", "s3://x", "package:a.b"])
def test_other_sources_are_refused(source: str) -> None:
    refused("base.bad-source", locate, source)


def test_a_source_that_is_not_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("base.no-folder", locate, f"folder:{tmp_path / 'absent'}")
    refused("base.no-folder", locate, "folder:~nobody-of-this-name/base")
    refused("base.no-package", locate, "package:surely-not-installed")
    refused("base.no-model-in-package", locate, "package:pytest")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    error = refused("base.hub-unreachable", locate, "hub:foedus/absent@0123abc")
    assert isinstance(error, IdentityError)


def test_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    package = tmp_path / "carries_a_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    base.rename(package / "model")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("package:carries-a-model") == package / "model"
    (package / "other").mkdir()
    (package / "other" / "config.json").write_text("{}")
    save_file({"a": torch.zeros(1)}, package / "other" / "m.safetensors")
    refused("base.several-models", locate, "package:carries-a-model")


def test_an_unreadable_file_is_a_clear_error(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("foedus.state.base.sha256_file", denied)
    assert isinstance(refused("base.unreadable", base_digest, base), CallerError)
