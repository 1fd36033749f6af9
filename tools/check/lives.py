"""Lives of a patch store: steps, and what the store is to be after each.

A store whose power is cut has to be the old state or the new one. The tests live these lives on a
simulated disk and under kill -9, `boot_image.py` on an emulated board.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from functools import cache

from bankai_edge.host.client import Client
from bankai_edge.model import Model
from bankai_edge.patch import Patch, decode, encode
from bankai_edge.patch.bind import bind
from bankai_edge.shipped import NANO

PROMPT = "17+"
Step = tuple[str, ...]  # a verb and names; a pushed name carries its version: a1, a2
Set = tuple[str, ...]


@cache
def model() -> Model:
    """The shipped model."""
    return Model(NANO)


@cache
def patch(version: str) -> bytes:
    """`a1` is a version of the patch `a`; c's has a probe that no answer passes."""
    first = {"a": 0, "b": 100, "c": 200}[version[0]] + 40 * (int(version[1:]) - 1)
    rows = tuple((0, 3, row) for row in range(first, first + 40))
    data = encode(bind(Patch(name=version[0], rows=rows), model()))
    if version[0] == "c":
        data = encode(replace(decode(data), canaries=((PROMPT, "never said"),)))
    return data


@dataclass(frozen=True)
class Ideal:
    """What a store is to be: versions by name, the active set and the one before."""

    stored: tuple[tuple[str, str], ...] = ()
    active: Set = ()
    previous: Set = ()

    def after(self, step: Step) -> Ideal | None:
        """The state after a step; None when it has to be refused."""
        verb, *names = step
        stored = dict(self.stored)
        if verb == "push":
            (version,) = names
            stored[version[0]] = version
            active = tuple(version if m[0] == version[0] else m for m in self.active)
            return self._new(stored, active)
        if verb == "rm":
            if names[0] not in stored or any(m[0] == names[0] for m in self.active):
                return None
            del stored[names[0]]
            return self._new(stored, self.active)
        if verb == "rollback":
            if self.previous == self.active:
                return None
            active = self.previous
        else:  # use, off
            if not all(name in stored for name in names):
                return None
            active = tuple(stored[name] for name in names)
        if active != self.active and any(m[0] == "c" for m in active):
            return None
        return self._new({**stored, **{m[0]: m for m in active}}, active)

    def _new(self, stored: dict[str, str], active: Set) -> Ideal:
        previous = self.previous if active == self.active else self.active
        return Ideal(tuple(sorted(stored.items())), active, previous)


def random_step(rng: random.Random) -> Step:
    """Any step, whether it can be done or has to be refused."""
    verb = rng.choice(["push", "push", "use", "use", "use", "off", "rollback", "rollback", "rm"])
    if verb == "push":
        return verb, rng.choice(["a1", "a2", "b1", "b2", "c1"])
    if verb == "use":
        return verb, *rng.sample(["a", "b", "c"], rng.choice([1, 1, 1, 2]))
    return (verb, rng.choice(["a", "b", "c"])) if verb == "rm" else (verb,)


VERSIONS = {
    hashlib.sha256(patch(version)).hexdigest(): version
    for version in ("a1", "a2", "b1", "b2", "c1")
}


def do(client: Client, step: Step) -> None:
    """One step of power_cut's lives, by the host's own client."""
    verb, *names = step
    if verb == "push":
        client.push(names[0][0], patch(names[0]))
    elif verb == "use":
        client.activate(names)
    elif verb == "off":
        client.deactivate()
    elif verb == "rollback":
        client.rollback()
    else:
        client.remove(names[0])
