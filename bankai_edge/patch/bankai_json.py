"""Upstream Bankai's JSON patches, imported and exported without loss.

A document is `{"format": "bankai_row_xor_v1", "name": ..., "flips": [{"layer", "proj", "row"}]}`;
older ones say `"type": "row_flip"` instead, or neither, and may lack the name; a flip may carry a
`group`. Whatever else a document holds goes into the patch's provenance as the entry `bankai`,
which is there even when empty, as the mark of an import:

    "fields"   every key but "flips", and but "name" when it is the patch's own
    "unnamed"  true when the document had no name
    "order"    the flips' original order, unless sorted: for each flip its index among the sorted
               rows, then groups, packed in as many bits as the largest index needs
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bankai_edge._facts import NAME_MAX, PROJECTIONS
from bankai_edge.errors import BankaiError, IncompatibleError
from bankai_edge.patch.bkp import Patch
from bankai_edge.patch.flips import Flip

ENTRY = "bankai"
FORMAT = "bankai_row_xor_v1"
_LEGACY_TYPE = "row_flip"
_FLIP_KEYS = {"layer", "proj", "row", "group"}
# upstream's order, for people who compare files; CBOR keeps none
_KEYS = ("version", "format", "type", "name", "description", "base_model", "flips", "stats")


class _NotBankaiError(ValueError):
    """What in a document is not as in a Bankai patch."""


def read(data: bytes, file: Path, name: str | None = None) -> Patch:
    """The patch that a file holds, unbound; raises IncompatibleError (exit 4)."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IncompatibleError(
            f"{file} is not JSON ({error})", expected="a Bankai JSON patch"
        ) from None
    return load(document, file, name)


def write(patch: Patch) -> bytes:
    """The file of a patch; raises IncompatibleError as `dump` does."""
    return json.dumps(plain(dump(patch)), indent=2, ensure_ascii=False).encode() + b"\n"


def origin(entry: object) -> str:
    """Where an imported patch comes from, for people."""
    fields = entry.get("fields", {}) if isinstance(entry, dict) else {}
    known = [str(fields[key]) for key in ("base_model", "description") if key in fields]
    return "; ".join(["from Bankai JSON", *known])


def plain(value: Any) -> Any:
    """A CBOR value as JSON has it: byte strings in hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def load(document: object, file: Path, name: str | None = None) -> Patch:
    """Turn a JSON document, parsed from `file`, into an unbound patch.

    The patch is called `name`, else what the document says, else as the file is. Raises
    IncompatibleError (exit 4) for any other document.
    """
    try:
        return _load(document, file.stem, name)
    except _NotBankaiError as error:
        raise IncompatibleError(
            f"{file} is no Bankai patch: {error}", expected=f'JSON of format "{FORMAT}"'
        ) from None


def _load(document: object, fallback_name: str, name: str | None) -> Patch:
    if not isinstance(document, dict) or not isinstance(document.get("flips"), list):
        raise _NotBankaiError("no list of flips was found")
    if document.get("format", FORMAT) != FORMAT:
        raise _NotBankaiError(f"its format is {document['format']!r}")
    if document.get("type", _LEGACY_TYPE) != _LEGACY_TYPE:
        raise _NotBankaiError(f"its type is {document['type']!r}")
    named = document.get("name")
    if named is not None and not isinstance(named, str):
        raise _NotBankaiError(f"its name is {named!r}")
    flips = [_flip(index, item) for index, item in enumerate(document["flips"])]
    if not flips:
        raise _NotBankaiError("its list of flips is empty")
    if len(set(flips)) < len(flips):
        twice = next(flip for at, flip in enumerate(flips) if flip in flips[:at])
        raise _NotBankaiError(f"flip {_describe(twice)} is named twice")
    rows = tuple(sorted(flip for flip in flips if len(flip) == 3))
    groups = tuple(sorted(flip for flip in flips if len(flip) == 4))
    own_name = name or _as_name(named or fallback_name)
    fields = {key: value for key, value in document.items() if key != "flips"}
    if named == own_name:
        del fields["name"]
    entry: dict[str, Any] = {}
    if fields:
        entry["fields"] = fields
    if "name" not in document:
        entry["unnamed"] = True
    if flips != [*rows, *groups]:
        entry["order"] = _pack_order(flips, [*rows, *groups])
    return Patch(own_name, rows=rows, groups=groups, provenance={ENTRY: entry})


def dump(patch: Patch) -> dict[str, Any]:
    """The JSON document of a patch: the one it was imported from, or a new one.

    Raises IncompatibleError for a patch with single bits, which Bankai does not know.
    """
    if patch.bits:
        raise IncompatibleError(
            f"patch {patch.name} flips {len(patch.bits)} single bits",
            expected="rows and groups only: Bankai's JSON has no bits",
        )
    flips = [*patch.rows, *patch.groups]
    entry = patch.provenance.get(ENTRY)
    if not isinstance(entry, dict):
        document: dict[str, Any] = {"version": 1, "format": FORMAT, "name": patch.name}
        if patch.domain:
            document["description"] = patch.domain
        document["stats"] = {"n_flips": len(flips)}
    else:
        document = dict(entry.get("fields", {}))
        if "order" in entry:
            flips = _unpack_order(entry["order"], flips, patch.name)
        if "unnamed" not in entry:
            document.setdefault("name", patch.name)
    document["flips"] = [_item(flip) for flip in flips]
    last = len(_KEYS)
    place = {key: index for index, key in enumerate(_KEYS)}
    return dict(sorted(document.items(), key=lambda item: place.get(item[0], last)))


def _flip(index: int, item: object) -> Flip:
    if not isinstance(item, dict) or not {"layer", "proj", "row"} <= item.keys() <= _FLIP_KEYS:
        raise _NotBankaiError(f"flip {index} is {item!r}, not a layer, proj, row and maybe group")
    numbers = [item[key] for key in ("layer", "row", "group") if key in item]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise _NotBankaiError(f"flip {index} has a number that is no index: {item!r}")
    if item["proj"] not in PROJECTIONS:
        raise _NotBankaiError(f"flip {index} names the projection {item['proj']!r}")
    layer, *rest = numbers
    return (layer, PROJECTIONS.index(item["proj"]), *rest)


def _item(flip: Flip) -> dict[str, Any]:
    item: dict[str, Any] = {"layer": flip[0], "proj": PROJECTIONS[flip[1]], "row": flip[2]}
    if len(flip) == 4:
        item["group"] = flip[3]
    return item


def _describe(flip: Flip) -> str:
    return " ".join(f"{key} {value}" for key, value in _item(flip).items())


def _as_name(text: str) -> str:
    """The nearest patch name: lower case, other characters as dashes, not too long."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).lstrip("._-")[:NAME_MAX].rstrip("-")
    return name or "unnamed"


def _pack_order(flips: list[Flip], ordered: list[Flip]) -> bytes:
    at = {flip: index for index, flip in enumerate(ordered)}
    width = (len(flips) - 1).bit_length()
    bits = "".join(format(at[flip], f"0{width}b") for flip in flips)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _unpack_order(order: object, ordered: list[Flip], name: str) -> list[Flip]:
    width = (len(ordered) - 1).bit_length()
    n_bytes = (width * len(ordered) + 7) // 8
    if isinstance(order, bytes) and len(order) == n_bytes:
        bits = format(int.from_bytes(order, "big"), f"0{8 * n_bytes}b")
        found = [int(bits[i * width : (i + 1) * width], 2) for i in range(len(ordered))]
        if sorted(found) == list(range(len(ordered))):
            return [ordered[index] for index in found]
    raise BankaiError(
        f"patch {name} remembers an order of other flips than it holds",
        expected="the flips that were imported",
        next_step="Import the JSON file again",
    )
