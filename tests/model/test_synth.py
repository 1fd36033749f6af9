"""Random-weight models: the published shapes exactly, in bounded memory, the same for one seed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bankai_edge._facts import F32, Q1_0
from bankai_edge.cli.main import bankai_edge
from bankai_edge.errors import BankaiError, IncompatibleError, UsageError
from bankai_edge.model import Model, Session, gguf_metadata
from bankai_edge.model import gguf_writer as gguf
from bankai_edge.model.synth import SHAPES, tensor_plans, write_model
from bankai_edge.model.synth_vocab import vocabulary
from bankai_edge.model.tokenizer import Tokenizer
from bankai_edge.shapes import ModelShape

SMALL = ModelShape("small", 3, 256, 384, 4, 2, 64, 401, 512)

# The published files' own numbers; the 0.6B is Qwen3-0.6B's shape.
PUBLISHED = {
    "bonsai-0.6b": (310, 595_710_976),
    "bonsai-1.7b": (310, 1_719_904_256),
    "bonsai-4b": (398, 4_021_588_480),
    "bonsai-8b": (399, 8_188_239_872),
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str) -> None:
    plans = tensor_plans(SHAPES[name])
    weights = sum(p.n_weights for p in plans if p.kind == Q1_0)
    assert (len(plans), weights) == PUBLISHED[name]


def test_a_seed_names_the_bytes(tmp_path: Path) -> None:
    """One seed gives one file, on every machine; another seed gives another."""
    a, b, c = (tmp_path / f"{n}.gguf" for n in "abc")
    write_model(a, SMALL, 7)
    write_model(b, SMALL, 7)
    write_model(c, SMALL, 8)
    assert digest(a) == digest(b) != digest(c)
    assert digest(a) == "96f7c92829e3af1136a9580c3eec3ee360e6dc2ee7dc95cdc1b54f02f611da5b"


def test_it_loads_and_activations_keep_their_size(tmp_path: Path) -> None:
    """Through many layers, logits stay near unit variance: nothing vanishes or overflows."""
    path = tmp_path / "deep.gguf"
    write_model(path, ModelShape("deep", 28, 256, 512, 4, 2, 64, 401, 512), 1)
    model = Model(path)
    rows = Session(model, ctx=16).logits([5, 99, 400, 0])
    assert np.isfinite(rows).all()
    assert 0.5 < rows.std() < 2
    assert "".join(Session(model, ctx=32).generate("the end", max_tokens=4)) is not None


def test_shape_is_what_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    write_model(path, ModelShape("odd", 2, 384, 256, 6, 3, 128, 333, 777, False, (4.0, 64)))
    model = Model(path)
    shape = model.shape
    assert (shape.hidden, shape.ffn, shape.heads, shape.kv_heads) == (384, 256, 6, 3)
    assert (shape.head_dim, shape.vocab, shape.context) == (128, 333, 777)
    assert model.core.rope[1] == pytest.approx(1 + 0.1 * np.log(4), rel=1e-6)


def test_qwen_ids_of_the_added_tokens() -> None:
    """At the published number of rows the added tokens have the ids of Qwen3's vocabulary."""
    fields = vocabulary(151_669)
    tokens = fields["tokenizer.ggml.tokens"]
    assert len(tokens) == len(set(tokens)) == len(fields["tokenizer.ggml.token_type"]) == 151_669
    ids = {t: tokens.index(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>")}
    assert list(ids.values()) == [151_643, 151_644, 151_645, 151_667]
    tokenizer = Tokenizer(gguf.header(fields, []))
    text = "the cat sat — naïve 猫 \x00\n<|im_end|>"
    ids_of_text = tokenizer.encode(text)
    assert tokenizer.decode(ids_of_text) == text and ids_of_text[-1] == 151_645
    assert len(tokenizer.encode("the station")) < 7  # merges are reached


def test_borrowed_vocabulary(tmp_path: Path, nano_path: Path, shared_data: Path) -> None:
    """--vocab copies a real tokenizer; padding beyond the rows is cut, too few is refused."""
    path = tmp_path / "real.gguf"
    qwen = shared_data / "ggml-vocab-qwen2.gguf"
    write_model(path, ModelShape("real", 1, 128, 128, 2, 1, 64, 151_669, 64), vocab_from=qwen)
    ours, theirs = Model(path).tokenizer, Tokenizer.open(qwen)
    assert ours.vocab_size == 151_669 < theirs.vocab_size
    text = "Überraschung: 東京 has 37,000,000 people.\n\n  <|im_end|>"
    assert ours.encode(text) == theirs.encode(text)
    with pytest.raises(IncompatibleError, match="512 tokens"):
        write_model(tmp_path / "no.gguf", SMALL.__class__(**{**vars(SMALL), "vocab": 600}),
                    vocab_from=nano_path)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ffn": 200}, "multiple of 128"),
        ({"kv_heads": 3}, "divisor of 4"),
        ({"head_dim": 33}, "even head"),
        ({"vocab": 200}, "200 rows"),
    ],
    ids=str,
)
def test_impossible_shapes(change: dict[str, int], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        write_model(tmp_path / "no.gguf", ModelShape(**{**vars(SMALL), **change}))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    """Past a file size limit, as past the end of a disk, the partial file is removed."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
        "from bankai_edge.cli.main import main; main(sys.argv[1:])"
    )
    out = tmp_path / "model.gguf"
    command = [sys.executable, "-c", code, "model", "synth", "--shape", "custom", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 1
    assert "no room" in done.stderr and "expected 1," in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_interrupted_writing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"old")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_model(path, SMALL, progress=stop)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BankaiError, match="No such file"):
        write_model(tmp_path / "none" / "m.gguf", SMALL)


def test_writer_refuses_too_much_and_too_little(tmp_path: Path) -> None:
    plan = [gguf.TensorPlan("t", F32, (4,))]
    with pytest.raises(ValueError, match="more than its 16"), \
            gguf.gguf_file(tmp_path / "a", {}, plan) as writer:  # fmt: skip
        writer.write(bytes(17))
    with pytest.raises(ValueError, match="lacks data"), \
            gguf.gguf_file(tmp_path / "b", {}, plan) as writer:  # fmt: skip
        writer.write(bytes(15))
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Ten times the data, the same memory: a model streams to disk."""
    code = (
        "import re, sys; from pathlib import Path;"
        "from bankai_edge.model.synth import write_model;"
        "from bankai_edge.shapes import ModelShape;"
        "n = write_model(Path(sys.argv[1]), ModelShape('wide', 8, 4096, 12288, 32, 8, 128, 8000,"
        " 512));"
        "print(n, re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.gguf")]
    n_bytes, rss_kib = map(int, subprocess.check_output(command, text=True, cwd="/").split())
    assert n_bytes > 200e6 and rss_kib < 200 * 1024, (n_bytes, rss_kib)


def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    run = CliRunner().invoke
    sizes = ["--layers", "2", "--yarn", "4", "64", "--untied"]
    command = ["model", "synth", "--shape", "custom", "--seed", "5", "--json", "-o", str(out)]
    done = run(bankai_edge, [*command, *sizes])
    fields = json.loads(done.stdout)
    assert fields["bytes"] == out.stat().st_size and fields["kind"] == "model-synth"
    names = [t[0] for t in Model(out).core.tensors()]
    assert "output.weight" in names and "blk.1.ffn_up.weight" in names
    done = run(bankai_edge, ["model", "synth", "--shape", "bonsai-8b", "--layers", "2",
                             "-o", str(out)])  # fmt: skip
    assert isinstance(done.exception, UsageError)


def test_metadata(nano_path: Path) -> None:
    data = nano_path.read_bytes()
    found = {
        key: gguf_metadata.decoded(kind, raw)
        for key, kind, raw in gguf_metadata.entries(data, nano_path)
    }
    assert found["qwen3.rope.freq_base"] == 10000.0 and found["general.architecture"] == "qwen3"
    assert found["tokenizer.ggml.tokens"][:1] == ["<|endoftext|>"]
    assert found["tokenizer.ggml.token_type"][:2] == [3, 3]
    with pytest.raises(BankaiError, match="truncated"):
        gguf_metadata.entries(data[:3000], nano_path)
    with pytest.raises(BankaiError, match="not a GGUF"):
        gguf_metadata.entries(b"x" * 64, nano_path)
