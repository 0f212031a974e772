"""The uplink: for us, authentic, newer than any before, not executed above what is durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.link.uplink import AHEAD, MOST_HELD, Rejection, Uplink
from icd import link
from icd.link import Kind, LinkMessage

PAYLOAD = 7
KEYS = {1: bytes(range(32)), 2: bytes(range(32, 64))}


class Ground:
    """An uplink whose ceilings become durable when the test says so, or at once."""

    def __init__(
        self,
        ceilings: Mapping[int, int] | None = None,
        *,
        at_once: bool = True,
        accept_clear: bool = False,
    ) -> None:
        self.taken: list[tuple[bytes, LinkMessage]] = []
        self.rejected: Counter[Rejection] = Counter()
        self.asked: list[tuple[int, int]] = []
        self.durable: dict[int, int] = dict(ceilings or {})
        self._at_once = at_once
        self._waiting: list[Callable[[], None]] = []
        self.uplink = Uplink(
            PAYLOAD,
            KEYS,
            self.durable,
            self._persist,
            lambda routing, message: self.taken.append((routing, message)),
            self._count,
            accept_clear=accept_clear,
        )

    def _persist(self, slot: int, ceiling: int, done: Callable[[], None]) -> None:
        self.asked.append((slot, ceiling))

        def became_durable() -> None:
            self.durable[slot] = ceiling
            done()

        self._waiting.append(became_durable)
        if self._at_once:
            self.become_durable()

    def _count(self, why: Rejection) -> None:
        self.rejected[why] += 1

    def become_durable(self) -> None:
        """What was asked for is on disk now."""
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done()

    def send(self, sequence: int, slot: int = 1, body: bytes = b"tc") -> None:
        self.uplink.receive(b"station", frame(sequence, slot, body=body))

    def numbers(self, slot: int = 1) -> list[int]:
        """Sequences taken, in order."""
        return [m.sequence for _, m in self.taken if m.key_slot == slot]


def frame(
    sequence: int,
    slot: int = 1,
    *,
    payload: int = PAYLOAD,
    kind: Kind = Kind.TELECOMMAND,
    key: bytes | None = None,
    body: bytes = b"tc",
) -> bytes:
    message = LinkMessage(kind, payload, slot, sequence, body)
    return link.pack(message, key or KEYS.get(slot))


def test_an_authentic_new_message_is_taken_with_its_routing() -> None:
    ground = Ground()
    ground.send(1)
    message = LinkMessage(Kind.TELECOMMAND, PAYLOAD, 1, 1, b"tc")
    assert ground.taken == [(b"station", message)]
    assert not ground.rejected


WRONG = [
    (b"", Rejection.MALFORMED),
    (bytes(13), Rejection.MALFORMED),
    (b"\x02" + frame(1)[1:], Rejection.MALFORMED),  # another version
    (frame(1)[:20], Rejection.MALFORMED),  # too short for its MAC
    (b"\x01\x63" + frame(1)[2:], Rejection.WRONG_KIND),
    (frame(1, kind=Kind.TELEMETRY), Rejection.WRONG_KIND),
    (frame(1, kind=Kind.IDENTITY), Rejection.WRONG_KIND),
    (frame(1, payload=8), Rejection.OTHER_PAYLOAD),
    (frame(1, 3, key=KEYS[1]), Rejection.UNKNOWN_SLOT),
    (frame(1, 1, key=KEYS[2]), Rejection.NOT_AUTHENTIC),
    (frame(1)[:-1], Rejection.NOT_AUTHENTIC),
    (frame(1) + b"\0", Rejection.NOT_AUTHENTIC),
    (frame(1, 0), Rejection.CLEAR_REFUSED),
    (frame(0), Rejection.REPLAYED),
]


@pytest.mark.verifies("VA-SEC-01", "VA-LINK-04")
@pytest.mark.parametrize(("octets", "why"), WRONG)
def test_what_is_wrong_is_rejected_with_its_reason(octets: bytes, why: Rejection) -> None:
    ground = Ground()
    ground.uplink.receive(b"station", octets)
    assert ground.rejected == {why: 1}
    assert ground.taken == []


@pytest.mark.verifies("VA-SEC-01")
def test_a_wrong_mac_does_not_move_the_sequence() -> None:
    ground = Ground()
    ground.uplink.receive(b"", frame(500, key=KEYS[2]))
    ground.send(1)
    assert ground.numbers() == [1]


@pytest.mark.verifies("VA-SEC-04")
def test_clear_messages_are_taken_only_when_that_was_asked_for() -> None:
    ground = Ground(accept_clear=True)
    for _ in range(2):
        ground.uplink.receive(b"", frame(0, 0))
    assert len(ground.taken) == 2
    ground.uplink.receive(b"", frame(1, 1, key=KEYS[2]))
    assert ground.rejected == {Rejection.NOT_AUTHENTIC: 1}


class TestAntiReplay:
    @pytest.mark.verifies("VA-SEC-02")
    def test_an_equal_or_smaller_number_is_a_replay(self) -> None:
        ground = Ground()
        for sequence in (5, 5, 4, 1, 6):
            ground.send(sequence)
        assert ground.numbers() == [5, 6]
        assert ground.rejected == {Rejection.REPLAYED: 3}

    @pytest.mark.verifies("VA-SEC-02")
    def test_each_key_slot_counts_for_itself(self) -> None:
        ground = Ground()
        ground.send(9, slot=1)
        ground.send(3, slot=2)
        assert (ground.numbers(1), ground.numbers(2)) == ([9], [3])

    @pytest.mark.verifies("VA-SEC-02")
    def test_nothing_is_executed_above_the_durable_ceiling(self) -> None:
        ground = Ground(at_once=False)
        ground.send(1)
        ground.send(2)
        assert ground.taken == []
        assert ground.asked == [(1, 1 + AHEAD)]
        ground.become_durable()
        assert ground.numbers() == [1, 2]

    @pytest.mark.verifies("VA-SEC-02")
    def test_what_is_held_cannot_be_replayed_and_keeps_its_order(self) -> None:
        ground = Ground(at_once=False)
        for sequence in (1, 1, 2, AHEAD * 5, 3):
            ground.send(sequence)
        ground.become_durable()
        ground.become_durable()
        assert ground.numbers() == [1, 2, AHEAD * 5]
        assert ground.rejected == {Rejection.REPLAYED: 2}

    def test_the_ceiling_is_moved_in_good_time(self) -> None:
        ground = Ground()
        for sequence in range(1, 3000):
            ground.send(sequence)
        assert ground.numbers() == list(range(1, 3000))
        assert len(ground.asked) == 6  # every 512 or so, not every message

    def test_at_most_64_are_held(self) -> None:
        ground = Ground(at_once=False)
        for sequence in range(1, MOST_HELD + 3):
            ground.send(sequence)
        assert ground.rejected == {Rejection.HOLD_FULL: 2}
        ground.become_durable()
        assert ground.numbers() == list(range(1, MOST_HELD + 1))
        ground.send(MOST_HELD + 1)  # one refused for want of room may be sent again
        assert ground.numbers()[-1] == MOST_HELD + 1

    @pytest.mark.verifies("VA-SEC-02")
    def test_after_a_power_off_nothing_old_is_fresh_again(self) -> None:
        before = Ground()
        for sequence in range(1, 700):
            before.send(sequence)
        after = Ground(before.durable)
        for sequence in range(1, before.durable[1] + 1):
            after.send(sequence)
        assert after.taken == []
        after.send(before.durable[1] + 1)
        assert after.numbers() == [before.durable[1] + 1]

    @pytest.mark.verifies("VA-SEC-02")
    @given(st.lists(st.tuples(st.integers(1, 4000), st.sampled_from("sdr")), max_size=40))
    def test_no_number_is_ever_executed_twice_or_above_the_ceiling(
        self, history: list[tuple[int, str]]
    ) -> None:
        ground = Ground(at_once=False)
        executed: list[int] = []
        for sequence, what in history:
            if what == "s":
                ground.send(sequence)
            elif what == "d":
                ground.become_durable()
            else:  # power-off: what was not durable is gone, and what was asked is not written
                executed += ground.numbers()
                ground = Ground(ground.durable, at_once=False)
            assert all(n <= ground.durable.get(1, 0) for n in ground.numbers())
        executed += ground.numbers()
        assert executed == sorted(set(executed))


FRAMES = st.builds(
    frame,
    st.integers(0, 2**64 - 1),
    st.integers(0, 3),
    payload=st.sampled_from([PAYLOAD, PAYLOAD, 8]),
    kind=st.sampled_from(Kind),
    body=st.binary(max_size=40),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    octets = bytearray(draw(FRAMES))
    for _ in range(draw(st.integers(0, 3))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets[: draw(st.integers(0, len(octets)))] if draw(st.booleans()) else octets)


@pytest.mark.verifies("VA-LINK-05")
@given(st.lists(st.one_of(st.binary(max_size=60), mutated()), max_size=20))
def test_every_message_is_taken_or_counted_once_and_none_raises(messages: list[bytes]) -> None:
    ground = Ground(accept_clear=True)
    for octets in messages:
        ground.uplink.receive(b"station", octets)
    assert len(ground.taken) + ground.rejected.total() == len(messages)
