"""What opens something is shown by no object, whoever prints or logs it."""

import ast
import re
from pathlib import Path

import foedus
from foedus.practice import Practice

SOURCE = Path(foedus.__file__).parent
OPENS = re.compile(r"_?(passphrase|password|secret)")


def shown():
    """Each field of a dataclass whose name says that it opens something, and that its class's repr would show."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.ClassDef) or "dataclass" not in "".join(map(ast.unparse, node.decorator_list)):
                continue
            for field in node.body:
                named = isinstance(field, ast.AnnAssign) and OPENS.fullmatch(ast.unparse(field.target))
                if named and "repr=False" not in ast.unparse(field):
                    yield f"{path.relative_to(SOURCE)}: {node.name}.{ast.unparse(field.target)}"


def test_no_dataclass_shows_a_passphrase_or_secret():
    assert list(shown()) == []


def test_a_practice_that_is_printed_keeps_its_passphrase(tmp_path):
    assert "hunter2" not in repr(Practice(tmp_path, {}, passphrase="hunter2"))  # noqa: S106
