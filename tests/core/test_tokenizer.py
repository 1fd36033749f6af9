"""The tokenizer against an independent one (`tokenizers`), and against files made to break it."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Reference

import bankai_edge
from bankai_edge._tokenizer import pretokens
from bankai_edge.errors import BankaiError, IncompatibleError, UsageError
from bankai_edge.model.tokenizer import Tokenizer
from support import ROOT

NANO = Path(bankai_edge.__file__).parent / "shipped" / "nano.gguf"
QWEN = ROOT.parent / "shared" / "data" / "ggml-vocab-qwen2.gguf"
QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4

# ---- a GGUF of nothing but metadata ----

FORMATS = {4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q"}
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


def pack_string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def pack_value(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return pack_string(value)
    if kind == ARRAY:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(pack_value(inner, i) for i in items)
    return struct.pack(FORMATS[kind], value)


def gguf(fields: dict[str, tuple[int, Any]]) -> bytes:
    body = b"".join(
        pack_string(key) + struct.pack("<I", kind) + pack_value(kind, value)
        for key, (kind, value) in fields.items()
    )
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, len(fields)) + body


def read_metadata(path: Path) -> dict[str, Any]:
    data, at = path.read_bytes(), 24
    widths = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 12: "d"}

    def take(kind: int) -> Any:
        nonlocal at
        if kind == STRING:
            size = take(10)
            at += size
            return data[at - size : at].decode()
        if kind == ARRAY:
            inner, count = take(U32), take(10)
            return [take(inner) for _ in range(count)]
        (value,) = struct.unpack_from("<" + widths[kind], data, at)
        at += struct.calcsize(widths[kind])
        return value

    return {take(STRING): take(take(U32)) for _ in range(struct.unpack_from("<Q", data, 16)[0])}


# ---- the reference ----


def build_reference(
    tokens: Sequence[str], types: Sequence[int], merges: Sequence[str], special: bool
) -> Reference:
    vocab = {token: i for i, token in enumerate(tokens)}
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    reference = Reference(models.BPE(vocab=vocab, merges=pairs))
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_REGEX), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    reference.decoder = decoders.ByteLevel()
    matched = (CONTROL, USER_DEFINED) if special else (USER_DEFINED,)
    reference.add_tokens(
        [
            AddedToken(t, normalized=False, special=kind == CONTROL)
            for t, kind in zip(tokens, types, strict=True)
            if kind in matched
        ]
    )
    return reference


class Pair:
    """Our tokenizer of a file and the reference built from the same file's lists."""

    def __init__(self, path: Path) -> None:
        meta = read_metadata(path)
        self.ours = Tokenizer.open(path)
        self.tokens = meta["tokenizer.ggml.tokens"]
        self.types = meta["tokenizer.ggml.token_type"]
        merges = meta["tokenizer.ggml.merges"]
        self.eos = meta["tokenizer.ggml.eos_token_id"]
        self.reference = {
            special: build_reference(self.tokens, self.types, merges, special)
            for special in (True, False)
        }

    @property
    def special_texts(self) -> list[str]:
        return [t for t, kind in zip(self.tokens, self.types, strict=True) if kind != NORMAL]

    def check(self, texts: list[str], special: bool = True) -> None:
        expected = self.reference[special].encode_batch_fast(texts, add_special_tokens=False)
        for text, encoding in zip(texts, expected, strict=True):
            ids = self.ours.encode(text, special)
            assert ids == encoding.ids, text
            assert self.ours.decode(ids) == text


@pytest.fixture(scope="module")
def nano() -> Pair:
    return Pair(NANO)


@pytest.fixture(scope="module")
def qwen() -> Pair:
    if not QWEN.exists():
        pytest.skip(f"the real vocabulary is not here: {QWEN.name} (6 MB, not in the repository)")
    return Pair(QWEN)


# ---- texts ----

SENTENCES = [
    "The quick brown fox doesn't jump; they'LL say \"it's 1,234.56 kg\", won't they? I'd I'M WE'VE",
    "Der schnelle braune Fuchs überquert die Straße; größer, ärger, ÖFTER.",
    "L'été dernier, j'ai mangé des crêpes à Besançon. Ça coûte 12 €.",
    "Быстрая коричневая лиса прыгает через ленивую собаку № 7.",
    "素早い茶色の狐がのろまな犬を飛び越える。カタカナとひらがな、１２３。",
    "敏捷的棕色狐狸跳过了懒狗。一共１００元，二〇二五年。",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다. 한글 자모: ㄱㄴㄷ",
    "الثعلب البني السريع يقفز فوق الكلب الكسول ١٢٣٤",
    "השועל החום המהיר קופץ מעל הכלב העצלן",
    "तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है। १२३",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ ๑๒๓",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.",
    "Nhanh như chớp, con cáo nâu nhảy qua con chó lười. Tiếng Việt có dấu: ặ ễ ỗ ừ.",
    "def f(x):\n    return {'a': x**2, \"b\": [1, 2]}  # comment\n\n\tif x != 0x1F:\r\n\t\tpass\n",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇯🇵 e\u0301 n\u0303 a\u0308\u0304 \u200b\u200d\ufeff ½ Ⅷ ④ ²",
    '<div class="x">&nbsp;</div> https://example.org/a?b=c&d=%20#e user@host.tld $HOME ~/.bashrc',
    "temp=87 limit=80 -> ALARM; light.kitchen=on; 17+25=42; 3.5 kg = 3500 g",
    "     indented\n\n\n   \n\t \r\n  x   \u3000\u00a0y\u2028z\x85\x0b\x0c\x1c\x1f ",
    "'S 'ſ 'LL 'lL ''s 're're 'Ve' 'dD ’s 'tis ''''m 'ﬅ 'ßs",
]
PIECES = [
    *"'\"!?.,;:-_+=/\\|@#$%^&*~`()[]{}<>", "'s", "'T", "'re", "'VE", "'ſ", "'ll", "'d", " ", "  ",
    "\n", "\r\n", "\r", "\t", "\u00a0", "\u3000", "\x85", "\u2028", "\x1c", "\u180e", "0", "7",
    "12", "²", "Ⅷ", "٣", "a", "Zz", "é", "e\u0301", "ß", "я", "中", "の", "한", "ก", "ा", "🙂",
    "\u200d", "\ufffd", "the", "ing", " of", "\x00", "\x7f", "\U000e0041", "\ue000", "\ufffe",
    "<|im_end|>", "<|im_", "|>",
]  # fmt: skip
ALPHABETS = [
    range(0x20, 0x7F), range(0xA0, 0x250), range(0x300, 0x370), range(0x370, 0x530),
    range(0x590, 0x800), range(0x900, 0xE00), range(0x1000, 0x1400), range(0x1E00, 0x2100),
    range(0x2100, 0x2C00), range(0x3000, 0x3400), range(0x4E00, 0xA000), range(0xA000, 0xAC00),
    range(0xAC00, 0xD7B0), range(0xE000, 0x10000), range(0x10000, 0x11000), range(0x1D000, 0x20000),
    range(0x20000, 0x32400), range(0xE0000, 0xE0200),
]  # fmt: skip


def fuzzed(seed: int, count: int, special: Sequence[str]) -> Iterator[str]:
    """Strings of four kinds: shuffled pieces, one alphabet, all of Unicode, cuts of sentences."""
    rnd = random.Random(seed)
    pieces = [*PIECES, *rnd.sample(special, min(len(special), 12))]
    for i in range(count):
        length = rnd.randint(0, 40)
        if i % 4 == 0:
            yield "".join(rnd.choices(pieces, k=length))
        elif i % 4 == 1:
            alphabet = rnd.choice(ALPHABETS)
            yield "".join(rnd.choice(" \n1'") if rnd.random() < 0.15 else chr(rnd.choice(alphabet))
                          for _ in range(length))  # fmt: skip
        elif i % 4 == 2:
            codes = (rnd.randrange(0x110000 - 0x800) for _ in range(length))
            yield "".join(chr(c if c < 0xD800 else c + 0x800) for c in codes)
        else:
            text = rnd.choice(SENTENCES) + rnd.choice(pieces) + rnd.choice(SENTENCES)
            start = rnd.randrange(len(text))
            yield text[start : start + 3 * length]


# ---- equality with the reference ----


def test_real_vocabulary_equals_the_reference_on_12000_texts(qwen: Pair) -> None:
    qwen.check(SENTENCES + list(fuzzed(1, 12_000, qwen.special_texts)))


def test_real_vocabulary_without_control_tokens(qwen: Pair) -> None:
    qwen.check(SENTENCES + list(fuzzed(2, 1_000, qwen.special_texts)), special=False)


def test_nano_vocabulary_equals_the_reference(nano: Pair) -> None:
    texts = SENTENCES + list(fuzzed(3, 3_000, nano.special_texts))
    nano.check(texts)
    nano.check(texts, special=False)


def test_pieces_of_every_token_equal_the_reference(nano: Pair) -> None:
    decode = nano.reference[True].decode
    for token in range(nano.ours.vocab_size):
        expected = decode([token], skip_special_tokens=False)
        assert nano.ours.decode([token]) == expected


def test_every_code_point_is_classified_as_in_the_reference() -> None:
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for start in range(0, len(codes), 1 << 14):
        check_cuts("".join(map(chr, codes[start : start + (1 << 14)])))
    # one context in which each of the four classes is cut differently
    for start in range(0, 0x20000, 1 << 12):
        chunk = (chr(c) for c in codes[start : start + (1 << 12)])
        check_cuts("".join(f"a{c}{c}1{c}\n" for c in chunk))


def check_cuts(text: str) -> None:
    reference = pre_tokenizers.Split(Regex(QWEN2_REGEX), "isolated")
    expected = [piece.encode() for piece, _ in reference.pre_tokenize_str(text)] if text else []
    assert pretokens(text.encode()) == expected


@given(st.text(alphabet="'sSſtlLeEvV1 \n\r\t\u3000aé!.中\u0301"))
@example("'sa'Ta'ſa'LLa'rea'Vea'ma'Da'lea'ta")
@example(" 'sa ''sa !'sa")
@settings(max_examples=500)
def test_cuts_equal_the_reference_where_alternatives_compete(text: str) -> None:
    check_cuts(text)


def test_cuts_equal_the_reference_on_fuzzed_texts() -> None:
    for text in SENTENCES + list(fuzzed(4, 2_000, [])):
        check_cuts(text)


# ---- bytes ----


@given(st.binary())
def test_any_bytes_come_back(nano_ours: Tokenizer, data: bytes) -> None:
    assert nano_ours.decode_bytes(nano_ours.encode(data)) == data
    assert b"".join(pretokens(data)) == data


@pytest.fixture(scope="session")
def nano_ours() -> Tokenizer:
    return Tokenizer.open(NANO)


@pytest.mark.parametrize(
    "bad",
    [b"\xff", b"\x80", b"\xc0\xaf", b"\xc3", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xe4\xbd",
     b"\xf0\x80\x80\xaf", b"\xf0\x9f\x99", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80"],
)  # fmt: skip
def test_each_byte_of_bad_utf8_is_cut_like_a_replacement_character(bad: bytes) -> None:
    stand_in = "\ufffd".encode()
    template = b"ab%scd 1%s2 %s\n%s"
    cuts = [len(piece) for piece in pretokens(template.replace(b"%s", bad))]
    same = [piece.replace(stand_in, b"?")
            for piece in pretokens(template.replace(b"%s", stand_in * len(bad)))]  # fmt: skip
    assert cuts == [len(piece) for piece in same]


def test_surrogateescape_becomes_the_original_bytes(nano_ours: Tokenizer) -> None:
    text = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert nano_ours.decode_bytes(nano_ours.encode(text)) == b"caf\xe9"
    with pytest.raises(UsageError, match="lone surrogate"):
        nano_ours.encode("\ud800")


def test_nothing_is_normalised(nano_ours: Tokenizer) -> None:
    assert nano_ours.encode("e\u0301") != nano_ours.encode("é")


# ---- special tokens, streaming, ids ----


def test_control_tokens_only_when_allowed(nano: Pair) -> None:
    text = "a<|im_end|>b"
    token = nano.ours.special_id("<|im_end|>")
    assert token is not None
    assert token in nano.ours.encode(text)
    assert token not in nano.ours.encode(text, special=False)
    assert nano.ours.decode(nano.ours.encode(text), special=False) == "ab"
    assert nano.ours.is_control(token)
    assert nano.ours.special_id("<|im_") is None
    assert nano.ours.eos_id == nano.eos
    assert nano.ours.stop_ids >= {token, nano.eos}


def test_stream_gives_whole_characters(nano_ours: Tokenizer) -> None:
    text = "naïve 中文 🙂👍🏽!"
    stream = nano_ours.stream()
    parts = [stream.feed(token) for token in nano_ours.encode(text)]
    assert "".join(parts) + stream.finish() == text
    assert "" in parts  # the nano has no such characters: bytes were held back
    assert not any("\ufffd" in part for part in parts)


def test_stream_ends_with_what_was_left(nano_ours: Tokenizer) -> None:
    stream = nano_ours.stream()
    assert "".join(map(stream.feed, nano_ours.encode("x🙂".encode()[:-1]))) == "x"
    assert stream.finish() == "\ufffd"


@pytest.mark.parametrize("token", [-1, 10**6, 2**31, -(2**40)])
def test_ids_outside_the_vocabulary(nano_ours: Tokenizer, token: int) -> None:
    with pytest.raises(UsageError, match="does not exist; expected 0 to"):
        nano_ours.decode([token])
    with pytest.raises(UsageError):
        nano_ours.stream().feed(token)


# ---- size and speed ----


def test_nano_tables_fit_a_microcontroller(nano_ours: Tokenizer) -> None:
    assert nano_ours._bpe.n_bytes <= 8 * 1024


def test_a_megabyte_a_second(qwen: Pair) -> None:
    data = (" ".join(SENTENCES[:1] * 3 + SENTENCES[-3:]) * 2000).encode()
    start = time.perf_counter()
    qwen.ours.encode(data)
    assert len(data) / (time.perf_counter() - start) > 1e6


@pytest.mark.parametrize("unit", ["a", "ab", "中", " ", "\n", "'", "[PAD", "<|im_start|"])
def test_a_long_run_takes_no_quadratic_time(qwen: Pair, unit: str) -> None:
    text = unit * 100_000
    start = time.perf_counter()
    ids = qwen.ours.encode(text)
    assert time.perf_counter() - start < 3
    assert qwen.ours.decode(ids) == text


# ---- files made to break it ----


# GPT-2's printable characters of the 256 bytes, by the rule and not by our code
PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
OTHERS = [b for b in range(256) if b not in PRINTABLE]
BYTES = [chr(b if b in PRINTABLE else 256 + OTHERS.index(b)) for b in range(256)]


def small(**changes: tuple[int, Any] | None) -> bytes:
    """A GGUF with the bytes, "ab", "abc", "bc" and three special tokens; `changes` replace keys."""
    fields: dict[str, tuple[int, Any] | None] = {
        "model": (STRING, "gpt2"),
        "pre": (STRING, "qwen2"),
        "tokens": (ARRAY, (STRING, [*BYTES, "ab", "abc", "bc", "<a>", "<a><b>", "<é ü>"])),
        "token_type": (ARRAY, (I32, [NORMAL] * 259 + [CONTROL, USER_DEFINED, CONTROL])),
        "merges": (ARRAY, (STRING, ["b c", "a b", "ab c"])),
        "eos_token_id": (U32, 259),
    } | changes
    return gguf({f"tokenizer.ggml.{k}": v for k, v in fields.items() if v is not None})


def test_small_file_merges_by_rank_and_matches_the_longest_special_token() -> None:
    tokenizer = Tokenizer.open(small())
    assert tokenizer.encode("abc") == [97, 258]
    assert tokenizer.encode("ab ab") == [256, 32, 256]
    assert tokenizer.encode("x<a><b><a>") == [120, 260, 259]
    assert tokenizer.encode("<a><b><a>", special=False) == [260, *b"<a>"]
    assert tokenizer.encode("<é ü>") == [261]
    assert tokenizer.decode([259, 261]) == "<a><é ü>"
    assert tokenizer.encode("") == []


def test_keys_that_may_be_absent() -> None:
    tokenizer = Tokenizer.open(small(token_type=None, eos_token_id=None))
    assert tokenizer.eos_id is None
    assert tokenizer.encode("<a>") == list(b"<a>")


HOSTILE: dict[str, tuple[dict[str, tuple[int, Any] | None], str]] = {
    "no tokens": ({"tokens": None}, "lacks"),
    "no merges": ({"merges": None}, "lacks"),
    "no model": ({"model": None}, "lacks"),
    "no pre": ({"pre": None}, "lacks"),
    "another model": ({"model": (STRING, "llama")}, "another kind"),
    "another pre": ({"pre": (STRING, "llama-bpe")}, "another kind"),
    "model is a number": ({"model": (U32, 1)}, "contradict"),
    "tokens are numbers": ({"tokens": (ARRAY, (I32, [1, 2, 3]))}, "contradict"),
    "tokens are one string": ({"tokens": (STRING, "a b c")}, "contradict"),
    "zero tokens": ({"tokens": (ARRAY, (STRING, [])), "token_type": None}, "lacks"),
    "a byte is missing": ({"tokens": (ARRAY, (STRING, BYTES[:-1])), "token_type": None}, "lacks"),
    "a token twice": (
        {"tokens": (ARRAY, (STRING, [*BYTES, "ab", "abc", "bc", "<a>", "z", "<b"]))}, "contradict"),
    "types of another length": ({"token_type": (ARRAY, (I32, [1]))}, "contradict"),
    "types are floats": ({"token_type": (ARRAY, (F32, [1.0] * 262))}, "contradict"),
    "merges are numbers": ({"merges": (ARRAY, (U32, [1, 2]))}, "contradict"),
    "unknown left": ({"merges": (ARRAY, (STRING, ["zz c"]))}, "contradict"),
    "unknown right": ({"merges": (ARRAY, (STRING, ["a bcd"]))}, "contradict"),
    "unknown result": ({"merges": (ARRAY, (STRING, ["a c"]))}, "contradict"),
    "a merge of one": ({"merges": (ARRAY, (STRING, ["abc"]))}, "contradict"),
    "a merge of three": ({"merges": (ARRAY, (STRING, ["a b c"]))}, "contradict"),
    "an empty merge": ({"merges": (ARRAY, (STRING, [""]))}, "contradict"),
    "a merge without right": ({"merges": (ARRAY, (STRING, ["a "]))}, "contradict"),
    "a merge twice": ({"merges": (ARRAY, (STRING, ["a b", "b c", "a b"]))}, "contradict"),
    "an empty special token": (
        {"tokens": (ARRAY, (STRING, [*BYTES, "ab", "abc", "bc", "<a>", "", "c>"]))}, "contradict"),
    "eos outside": ({"eos_token_id": (U32, 262)}, "contradict"),
    "eos negative": ({"eos_token_id": (I32, -1)}, "contradict"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tables_are_refused(case: str) -> None:
    changes, message = HOSTILE[case]
    with pytest.raises(IncompatibleError, match=message):
        Tokenizer.open(small(**changes))


def test_every_prefix_of_a_file_is_refused() -> None:
    data = small()
    for n in range(0, len(data), 7):
        with pytest.raises(IncompatibleError):
            Tokenizer.open(data[:n])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_work(data: st.DataObject) -> None:
    raw = bytearray(small())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        tokenizer = Tokenizer.open(raw)
    except IncompatibleError:
        return
    ids = tokenizer.encode("abc <a><b> \xff\u3000")
    assert all(0 <= token < tokenizer.vocab_size for token in ids)
    tokenizer.decode(ids)


def test_absent_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(BankaiError, match=r"absent\.gguf: No such file"):
        Tokenizer.open(tmp_path / "absent.gguf")
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(IncompatibleError, match="not a GGUF"):
        Tokenizer.open(tmp_path / "empty.gguf")
