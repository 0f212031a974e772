"""What the file store decides: telecommands and storage answers in, instructions out.

Four parts decide, each by a table or a queue of its own; they share an `Outbox`:

  Resume        reads the records of interrupted transfers; telecommands wait until it is done
  Puts          files on their way up, each in a phase:

                  OPENING ──► OPEN ──► CHECKING ──► MOVING ──► in its place
                     │         │ ▲        │           │
                     ▼         ▼ └────────┴───────────┘  what failed leaves it open
                   ABORTING ◄──┘ put_abort, or idle

                what each phase does with each telecommand is `puts.TABLE`, what storage is asked
                for on the way is `chains.CHAINS`
  Gets          files on their way down: looked at, read ahead of the link, sent as it has room
  Listings      folders on their way down, a page at a time
  StoredFiles   what storage answers at once

Reports go down as `Room` says that the link takes them. A request is answered by `Stored` with its
number; what is no answer to a request of this lifecycle changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, MutableSequence
from typing import Any, TypeVar

from flight.components.file_store import stimuli as s
from flight.components.file_store.checkups import tell_damage
from flight.components.file_store.gets import Gets
from flight.components.file_store.listing import Listings
from flight.components.file_store.outbox import Outbox
from flight.components.file_store.puts import Puts
from flight.components.file_store.resume import Resume
from flight.components.file_store.stored_files import StoredFiles
from flight.framework.lifecycle import Lifecycle
from flight.framework.ports import Refused

MOST_PARKED = 64
POLL = 10_000_000
"""Between two looks at a link without room, in ns, at first; it doubles while nothing is taken."""
SLOWEST_POLL = 500_000_000

Asked = TypeVar("Asked", bound=s.Telecommand)
Handler = Callable[[Any], None]


def _to(kind: type[Asked], handler: Callable[[Asked], None]) -> dict[type[s.Telecommand], Handler]:
    return {kind: handler}


class FileStoreLifecycle(Lifecycle[s.Stimulus, s.Instruction]):
    """The transfers of one file store; `step` is the only way in."""

    def __init__(
        self,
        policy: s.Policy | None = None,
        log: MutableSequence[tuple[int, s.Stimulus]] | None = None,
    ) -> None:
        super().__init__(log)
        self._outbox = Outbox(self._tell)
        self.puts = Puts(self._outbox)
        self.gets = Gets(self._outbox)
        self._listings = Listings(self._outbox)
        self._files = StoredFiles(self._outbox)
        self._resume = Resume(self._outbox, self.puts)
        self._parked: deque[s.Telecommand] = deque()
        self._handlers = self._table()
        self._poll = POLL
        self._set_policy(policy or s.Policy())

    @property
    def is_sending(self) -> bool:
        """Whether anything is on its way down, so that room in the link matters."""
        return bool(self.gets.gets or self._listings.listings)

    @property
    def storage_failures(self) -> int:
        """Requests that storage did not carry out."""
        return self._outbox.failures

    def stations(self) -> Collection[int]:
        """The stations that reports wait to be sent to."""
        return {*self.gets.stations(), *self._listings.stations()}

    def next_due(self) -> int | None:
        """When time alone brings something, in on-board ns."""
        is_held = self.gets.is_held or self._listings.is_held
        dues = (
            self._now + self._poll if is_held else None,
            self._resume.retry_at,
            self.puts.next_due(self.policy.idle),
            self.gets.next_due(self.policy.idle),
        )
        return min((due for due in dues if due is not None), default=None)

    def _table(self) -> Mapping[type[s.Telecommand], Handler]:
        """Which part a telecommand is for."""
        puts, gets, files = self.puts, self.gets, self._files
        return (
            _to(s.PutBegin, puts.begin)
            | _to(s.PutSegment, puts.segment)
            | _to(s.PutStatus, puts.status)
            | _to(s.PutEnd, puts.end)
            | _to(s.PutAbort, puts.abort)
            | _to(s.GetBegin, gets.begin)
            | _to(s.GetMore, gets.more)
            | _to(s.GetEnd, gets.end)
            | _to(s.List, self._listings.begin)
            | _to(s.Delete, files.delete)
            | _to(s.Digest, files.digest)
            | _to(s.Free, files.free)
            | _to(s.DeleteFolder, files.delete_folder)
            | _to(s.Verify, files.verify)
            | _to(s.Repair, files.repair)
        )

    # ------------------------------------------------------------ stimuli

    def _take(self, stimulus: s.Stimulus) -> None:
        self._outbox.now, self._outbox.out = self._now, self._out
        match stimulus:
            case s.Telecommand():
                self._ask(stimulus)
            case s.Stored():
                self._outbox.stored(stimulus.number, stimulus.result)
            case s.SegmentsSent():
                self._segments_sent(stimulus)
            case s.EntriesSent():
                self._listings.sent(stimulus)
            case s.Room():
                self._serve(dict(stimulus.reports))
            case s.Tick():
                self._tick()
            case s.Looked():
                tell_damage(self._tell, stimulus.path, stimulus.result)
            case s.SetPolicy():
                self._set_policy(stimulus.policy)
            case s.Start():
                self._resume.start()

    def _settle(self) -> None:
        while self._parked and self._resume.is_done:
            self._carry_out(self._parked.popleft())

    def _ask(self, telecommand: s.Telecommand) -> None:
        """Carry a telecommand out, or keep it until the table of transfers is known."""
        if self._resume.is_done:
            self._carry_out(telecommand)
        elif len(self._parked) < MOST_PARKED:
            self._parked.append(telecommand)
        else:
            reason = "the table of transfers is still being read; send it again"
            self._outbox.refuse(telecommand.asker, reason)

    def _carry_out(self, telecommand: s.Telecommand) -> None:
        try:
            self._handlers[type(telecommand)](telecommand)
        except Refused as refused:
            self._outbox.refuse(telecommand.asker, refused.reason, refused.code)

    def _tick(self) -> None:
        self._resume.tick()
        self.puts.expire(self.policy.idle)
        self.gets.expire(self.policy.idle)

    def _serve(self, room: dict[int, int]) -> None:
        """Move files and listings on, as far as the link has room for."""
        self._poll = min(2 * self._poll, SLOWEST_POLL)
        self._listings.serve(room)
        self.gets.serve(room, self.policy.read_ahead)

    def _segments_sent(self, sent: s.SegmentsSent) -> None:
        if sent.count:
            self._poll = POLL
        self.gets.sent(sent, self.policy.read_ahead)

    def _set_policy(self, policy: s.Policy) -> None:
        self.policy = policy
        self.puts.save_every = policy.save_every
