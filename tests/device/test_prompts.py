"""What a device says to programs and humans: the host's own text, the same words on every port."""

from __future__ import annotations

import re
import time
from pathlib import Path

import cbor2
import pytest

from bankai_edge._device import DeviceError
from bankai_edge._link import BK_GROUP, RC
from bankai_edge.model import Model, Session
from support import GOLDEN
from support.agents import make_patch
from support.direct import HEADER, SMP_V2, WRITE, Direct
from support.ports import Port, Running
from support.ports.table import on

PROMPTS = (
    "17+25=", "turn on the kitchen light", "temp=87 limit=80", " x", "Größe 漢字 🙂",
    "a" * 40, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21",
    "<|im_end|>", "x<|endoftext|>y",
)  # fmt: skip


def answer(device: Direct) -> str:
    """The whole answer to the prompt that is being answered."""
    while not device.output()[1]:
        time.sleep(0.002)
    return device.output()[0].decode()


@on()
def test_answers_are_the_host_s(port: Port, device: Direct, model: Model) -> None:
    """Whatever is asked, up to the context's end; and what cannot be asked is refused."""
    session = Session(model, ctx=port.ctx)
    for prompt in PROMPTS:
        for most in (1, 1000):
            fits = len(model.tokenizer.encode(prompt)) < port.ctx
            try:
                device.generate(prompt, most)
            except DeviceError as error:
                assert error.rc == RC["CONTEXT"] and not fits, (prompt, error)
                assert error.detail.startswith("a prompt of ") and error.detail.endswith(" tokens")
            else:
                expected = "".join(session.generate(prompt, max_tokens=most))
                assert fits and answer(device) == expected, prompt
    with pytest.raises(DeviceError, match=r"a prompt of (200|far too many) tokens"):
        device.generate("9" * 200)
    with pytest.raises(DeviceError, match="the prompt is empty"):
        device.generate("\u00a0\n")


@on()
@pytest.mark.parametrize("damage", [b"\xff?", b"\xed\xa0", b"\xc3(", b"\xe2\x82", b"\xbd\xbd"])
def test_a_prompt_that_is_no_text_is_refused(running: Running, damage: bytes) -> None:
    body = cbor2.dumps({"prompt": "\ufffd??"}).replace(b"??", damage)
    packet = HEADER.pack(WRITE | SMP_V2, 0, len(body), BK_GROUP, 1, 7) + body
    answer = cbor2.loads(running.packet(packet)[HEADER.size :])
    assert answer["err"] == {"group": BK_GROUP, "rc": RC["BAD_ARGUMENT"]}
    assert answer["detail"] == "the prompt is not UTF-8"


@on()
def test_the_logits_are_the_golden_ones(device: Direct, running: Running, nano_path: Path) -> None:
    """Of every position of every golden prompt, to the last bit, without and with a patch."""
    device.push("arith", (nano_path.parent / "arith.bkp").read_bytes())
    for active in ("plain", "arith", "plain"):
        device.activate([active] if active == "arith" else [])
        for case in GOLDEN["cases"]:
            said = running.shell(f"logits {case['prompt']}").strip()
            assert said == case[active], (active, case["prompt"])


TRANSCRIPT = r"""
> list
no patches
> use nope
error: no patch of that name is stored: no patch 'nope' in the store
> use
error: an argument is missing or makes no sense: use which patch? try list
> use A
error: a name must match [a-z0-9][a-z0-9._-]{0,31}: 'A' is not a patch name
> rm nope
error: no patch of that name is stored: no patch 'nope' in the store
> rollback
error: there is no previous set to return to
> hello
unknown command 'hello'; try help
> ask
error: an argument is missing or makes no sense: the prompt is empty
PUSH p
> list
  p  77 bytes
> use p p
active: p (switched in N us)
> list
* p  77 bytes
> rm p
error: the patch is active: deactivate it first: p is active
> off q
error: no patch of that name is stored: q is not active
> off p
active: nothing (switched in N us)
> rollback
active: p (switched in N us)
> off
active: nothing (switched in N us)
> rm p
removed p
> ask 17+25=
{answer}
"""


@on()
def test_the_shell_s_words(port: Port, device: Direct, running: Running, model: Model) -> None:
    """Every verb's answer, and every refusal's."""
    patch = make_patch(model, "p", range(0, 200, 2))
    said = "".join(Session(model, ctx=port.ctx).generate("17+25=", max_tokens=4096))
    want = TRANSCRIPT.strip().replace("{answer}", said).replace("77", str(len(patch)))
    for part in re.split(r"^(?=> |PUSH)", want, flags=re.M)[1:]:
        line, _, expected = part.partition("\n")
        if line == "PUSH p":
            device.push("p", patch)
            continue
        told = running.shell(line[2:]).replace("\r", "")
        assert re.sub(r"in \d+ us", "in N us", told).strip() == expected.strip(), line


@on()
def test_the_shell_s_lists_of_facts(running: Running) -> None:
    verbs = "help info list use off rollback rm verify ask bench logits reset"
    told = running.shell("help").splitlines()
    assert [line.split()[0] for line in told if line.strip()] == verbs.split()
    facts = dict(line.split(": ", 1) for line in running.shell("info").splitlines() if ": " in line)
    keys = [
        "board",
        "version",
        "model",
        "model_id",
        "active",
        "mode",
        "patches",
        "policy",
        "ctx",
        "kernel",
        "uptime_ms",
    ]
    assert [key for key in facts if key in keys] == [key for key in keys if key in facts]
    assert facts["policy"] == "open" and facts["patches"] == "0"
    assert running.shell("verify").split()[-1] == "ok"
    assert "token_us: " in running.shell("bench")
