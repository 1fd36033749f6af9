"""`bankai-edge patch`: what its verbs write, print and refuse."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bankai_edge.cli.main import main
from bankai_edge.durable import write_atomically
from bankai_edge.errors import BankaiError
from bankai_edge.patch import Patch, decode, encode

DOCUMENT: dict[str, Any] = {
    "type": "row_flip",
    "description": "für Tests",
    "base_model": "somebody/a-model",
    "flips": [
        {"layer": 1, "proj": "up_proj", "row": 20},
        {"layer": 0, "proj": "q_proj", "row": 3},
    ],
}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "my_patch.json"
    path.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    return path


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in ("patch", *words)])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def run_json(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert run(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == 1
    assert isinstance(found, dict)
    return found


def test_import_show_export(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bkp, back = tmp_path / "out.bkp", tmp_path / "back.json"
    assert run("import", document, "-o", bkp) == 0
    assert "unbound" in capsys.readouterr().err
    assert run("show", bkp) == 0
    shown = capsys.readouterr().out
    assert "my_patch" in shown
    assert "2 rows" in shown
    assert "unbound" in shown
    found = run_json(capsys, "show", bkp)
    assert found["kind"] == "patch"
    assert found["bound"] is False
    assert found["rows"] == [[0, "q_proj", 3], [1, "up_proj", 20]]
    assert found["bytes"] == bkp.stat().st_size
    assert run("export", bkp, "-o", back) == 0
    assert json.loads(back.read_text(encoding="utf-8")) == DOCUMENT


def test_bind(
    document: Path, tmp_path: Path, nano_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Importing with a model, or binding afterwards, gives the same file."""
    loose, bound, at_once = (tmp_path / f"{stem}.bkp" for stem in ("loose", "bound", "at_once"))
    run_json(capsys, "import", document, "-o", loose, "--name", "mine")
    found = run_json(capsys, "bind", loose, "-m", nano_path, "-o", bound)
    assert found["bound"] is True
    assert len(found["model_id"]) == 64
    assert found["name"] == "mine"
    run_json(capsys, "import", document, "-o", at_once, "--name", "mine", "-m", nano_path)
    assert at_once.read_bytes() == bound.read_bytes()
    assert decode(bound.read_bytes()).bound
    assert run("show", bound) == 0
    shown = capsys.readouterr().out
    assert found["model_id"][:16] in shown
    assert "unbound" not in shown


def test_bind_out_of_range(
    tmp_path: Path, nano_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    big, out = tmp_path / "big.bkp", tmp_path / "out.bkp"
    big.write_bytes(encode(Patch("big", rows=((35, 0, 0),))))
    assert run("bind", big, "-m", nano_path, "-o", out) == 4
    assert "does not have" in capsys.readouterr().err
    assert not out.exists()


def test_refusals(document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 4 and one sentence for a wrong format; 2 for a wrong call; nothing is written."""
    out = tmp_path / "out.bkp"
    broken = tmp_path / "broken.bkp"
    broken.write_bytes(encode(Patch("a", rows=((0, 0, 0),)))[:-1])
    not_json = tmp_path / "not.json"
    not_json.write_bytes(b"\xff\xfe")
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    for code, *words in [
        (4, "show", broken),
        (4, "export", broken, "-o", out),
        (4, "import", not_json, "-o", out),
        (4, "import", deep, "-o", out),
        (2, "show", tmp_path / "absent.bkp"),
        (2, "import", document),
        (1, "import", document, "-o", out, "--name", "A/B"),
        (1, "import", document, "-o", tmp_path / "no" / "such" / "dir.bkp"),
    ]:
        assert run(*words) == code, words
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err
        assert not out.exists()


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bkp"
    path.write_bytes(b"old")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BankaiError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_shows_what_is_in_a_patch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.bkp"
    patch = Patch(
        "a",
        domain="units",
        bits=((0, 6, 1, 2),),
        canaries=(("1 km in m?", "1000"),),
        provenance={"creator": "me", "digest": b"\x01\xff", "probes": [1, 2]},
        sequence=9,
        extensions={70: "later"},
    )
    path.write_bytes(encode(patch))
    assert run("show", path) == 0
    shown = capsys.readouterr().out
    for text in ("units", "1 bit", "down_proj", "1 km in m?", "1000", "me", "01ff", "9"):
        assert text in shown
    found = run_json(capsys, "show", path)
    assert found["provenance"] == {"creator": "me", "digest": "01ff", "probes": [1, 2]}
    assert found["extensions"] == {"70": "later"}
    assert found["canaries"] == [["1 km in m?", "1000"]]


def test_show_imports_neither_numpy_nor_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "a.bkp"
    path.write_bytes(encode(Patch("a", rows=((0, 0, 0),))))
    script = (
        "import sys\nfrom bankai_edge.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "heavy = {'numpy', 'rich', 'bankai_edge._engine', 'bankai_edge.model'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script, "patch", "show", str(path)], check=True, cwd="/")
