"""The active set: weights, journal and health in step, whatever fails.

The order of every change: the session switches first (all or nothing, in memory), then the patches'
own probes are asked, then the store records the set; when one of them fails, the session switches
back and the journal was never touched. At start it is the other way round: the journal says what to
load, counts the start, and forgets the count once the set has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bankai_edge import _patch
from bankai_edge._link import RC, DeviceError
from bankai_edge.agent import health
from bankai_edge.agent.gate import Gate
from bankai_edge.agent.journal import Stored
from bankai_edge.agent.refusals import error_text
from bankai_edge.agent.store import Store, StoreError
from bankai_edge.errors import BankaiError

if TYPE_CHECKING:
    from bankai_edge.model import Session

MAX_STARTS = 2  # starts of a set that the agent did not survive; then it is not loaded again


@dataclass(frozen=True)
class Member:
    """One patch of a set: which bytes, and the bare `.bkp` in them."""

    stored: Stored
    payload: bytes


class ActiveSet:
    """The patches that the session runs. Not safe to call from two threads at once.

    `restart` is called when weights and journal cannot be brought in step any more.
    """

    def __init__(
        self,
        session: Session,
        store: Store,
        gate: Gate,
        *,
        allow_unbound: bool,
        budget_s: float,
        log: Callable[[str], None],
        restart: Callable[[], None],
    ) -> None:
        self._session = session
        self._store = store
        self._gate = gate
        self._allow_unbound = allow_unbound
        self._budget_s = budget_s
        self._log = log
        self._restart = restart
        self._members: tuple[Member, ...] = ()

    @property
    def stored(self) -> tuple[Stored, ...]:
        """The set, in the order it was asked for."""
        return tuple(member.stored for member in self._members)

    @property
    def names(self) -> tuple[str, ...]:
        """The set's names, in the order it was asked for."""
        return tuple(member.stored.name for member in self._members)

    def switch(
        self,
        wanted: Sequence[Stored],
        record: Callable[[], object],
        fresh: Mapping[Stored, bytes] | None = None,
    ) -> int:
        """Switch to `wanted`, probe it, record it; on any failure all is as before.

        `fresh` holds payloads that are not in the store yet. Returns the nanoseconds of the switch
        itself. Raises BankaiError, or DeviceError for CANARY.
        """
        known = {member.stored: member.payload for member in self._members} | dict(fresh or {})
        members = tuple(
            Member(stored, known[stored]) if stored in known else self._load(stored)
            for stored in wanted
        )
        took_ns = self._use(members)
        try:
            problem = self._ailment(members)
            if problem:
                raise DeviceError(RC["CANARY"], problem)
            record()
        except BaseException:
            self._back()
            raise
        self._members = members
        return took_ns

    def restore(self) -> None:
        """At start: the recorded set, without what no longer fits; never an obstacle.

        A set that the agent did not survive MAX_STARTS times, or that fails its own probes, gives
        way to the one before it, and that one, if need be, to none.
        """
        journal = self._store.journal
        recorded = journal.active
        if journal.starts >= MAX_STARTS:
            self._log(
                f"{_listed(recorded)} did not survive {journal.starts} starts: not loaded again"
            )
        elif self._started(self._fitting(recorded), previous=recorded):
            return
        for wanted in (journal.previous, ()):
            members = self._fitting(wanted) if wanted != recorded else ()
            # Not to come back by a rollback: what gave way has no place in the journal any more.
            if len(members) == len(wanted) and self._started(members, previous=()):
                return

    def _started(self, members: tuple[Member, ...], previous: tuple[Stored, ...]) -> bool:
        """Load a set as one that may kill the agent; False when it is not healthy."""
        stored = tuple(member.stored for member in members)
        try:
            if stored != self._store.journal.active:
                self._store.record(stored, previous)
            if stored:
                self._store.starting()
        except StoreError as error:
            self._log(str(error))
        try:
            self._use(members)
            problem = self._ailment(members)
            if members and not problem:
                next(self._session.generate("a", max_tokens=1), None)  # one token has to come out
        except Exception as error:
            problem = str(error) or repr(error)
        if problem:
            self._log(f"{_listed(stored)} does not run: {problem}")
            return False
        self._members = members
        try:
            if self._store.journal.starts:
                self._store.healthy()
        except StoreError as error:
            self._log(str(error))
        return True

    def _fitting(self, wanted: Sequence[Stored]) -> tuple[Member, ...]:
        members = []
        for stored in wanted:
            try:
                member = self._load(stored)
                self._session.check(member.payload, allow_unbound=self._allow_unbound)
                members.append(member)
            except (BankaiError, DeviceError) as error:
                self._log(f"{stored.name} stays inactive: {error_text(error)}")
        return tuple(members)

    def _load(self, stored: Stored) -> Member:
        return Member(stored, self._gate.open(stored.name, self._store.read(stored)))

    def _use(self, members: tuple[Member, ...]) -> int:
        payloads = [member.payload for member in members]
        return self._session.use(payloads, allow_unbound=self._allow_unbound)

    def _back(self) -> None:
        try:
            self._use(self._members)
        except BaseException as error:
            self._log(f"the set cannot be switched back ({error}): the agent starts anew")
            self._restart()

    def _ailment(self, members: tuple[Member, ...]) -> str:
        """What the set's own probes find wrong, or ""."""
        probes = [
            probe
            for member in members
            if _patch.parse(member.payload)["canaries"]
            for probe in health.canaries(member.stored.name, member.payload)
        ]
        problem, asked = health.failing(self._session, probes, self._budget_s)
        if asked < len(probes) and not problem:
            self._log(f"{asked} of {len(probes)} probes were asked in {self._budget_s:g} s")
        return problem


def _listed(members: Sequence[Stored]) -> str:
    return " ".join(member.name for member in members) or "the empty set"
