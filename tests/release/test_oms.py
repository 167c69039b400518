import json
import subprocess
import sys

import pytest

from foedus.core import keys
from foedus.core.envelope import unb64
from foedus.core.errors import VerifyError
from foedus.release import oms
from gates.hand_made import model

KEY = keys.generate("release")


def signed(tmp_path):
    folder = model(tmp_path / "model")
    (folder / "sub").mkdir()
    (folder / "sub" / "more.json").write_text("{}")
    (folder / "sub.txt").write_text("a name that sorts between a folder and its files")
    return folder, oms.sign(oms.resources(folder), KEY)


def stock(tmp_path, *arguments):
    (tmp_path / "key.pub").write_bytes(keys.public_pem(KEY.public))
    command = [sys.executable, "-W", "ignore", "-m", "model_signing", *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)


def test_the_stock_verifier_accepts_our_signature_and_refuses_a_changed_weight(tmp_path):
    folder, data = signed(tmp_path)
    (tmp_path / "model.ada.sig").write_bytes(data)
    arguments = ("verify", "key", "model", "--signature", "model.ada.sig", "--public_key", "key.pub")
    done = stock(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert stock(tmp_path, *arguments).returncode != 0


def test_the_stock_signer_computes_the_same_root(tmp_path):
    folder, _ = signed(tmp_path)
    keys.save_private(tmp_path / "key.pem", KEY)
    done = stock(tmp_path, "sign", "key", "model", "--signature", "stock.sig", "--private_key", "key.pem")
    assert done.returncode == 0, done.stdout + done.stderr
    theirs = json.loads(unb64(json.loads((tmp_path / "stock.sig").read_text())["dsseEnvelope"]["payload"]))
    assert "sha256:" + theirs["subject"][0]["digest"]["sha256"] == oms.root(oms.resources(folder))


def refused(data, files, public=KEY.public):
    with pytest.raises(VerifyError) as caught:
        oms.verify(data, files, public, signer="ada")
    return caught.value.code


def test_our_verifier_names_what_is_wrong(tmp_path):
    folder, data = signed(tmp_path)
    files = oms.resources(folder)
    oms.verify(data, files, KEY.public, signer="ada")
    assert refused(data, files | {"x.json": files["config.json"]}) == "release.signature-of-other-files"
    renamed = {name.replace("sub.txt", "sub.tx"): digest for name, digest in files.items()}
    assert oms.root(renamed) == oms.root(files)
    assert refused(data, renamed) == "release.signature-of-other-files"
    assert refused(data, files, keys.generate("release").public) == "release.signature-wrong"
    assert refused(oms.sign(files, keys.generate("release")), files) == "release.signature-wrong"
    assert refused(b"{}", files) == "release.signature-malformed"
    assert refused(b" " + data, files) == "release.signature-malformed"


def test_every_changed_byte_of_a_signature_is_refused(tmp_path):
    folder, data = signed(tmp_path)
    files = oms.resources(folder)
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1
        assert refused(bytes(changed), files).startswith("release.signature-")


def test_a_link_in_a_model_folder_is_refused(tmp_path):
    folder, _ = signed(tmp_path)
    (folder / "link").symlink_to("config.json")
    with pytest.raises(VerifyError) as caught:
        oms.resources(folder)
    assert caught.value.code == "release.link"
