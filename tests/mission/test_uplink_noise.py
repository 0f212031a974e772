"""Whatever octets arrive on the uplink: each is counted, and the payload answers the next ping."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from examples.session import Session
from ground.client.client import Client
from icd import telecommand
from icd.link import Kind
from tests.mission.conftest import cleanly, start
from tests.mission.station import Station
from tests.mission.watching import counters, rise

pytestmark = [pytest.mark.control, pytest.mark.xdist_group("noise")]
BOUNDED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MakeStation = Callable[..., Station]


@pytest.fixture(scope="module")
def own(board_name: str) -> Iterator[Session]:
    """A payload to be shouted at."""
    with cleanly(board_name) as session:
        start(session)
        yield session


@pytest.fixture(scope="module")
def flown(own: Session) -> Iterator[Client]:
    """Its client."""
    with own.start_ground() as client:
        yield client


@pytest.mark.verifies("VA-LINK-05")
def test_random_octets_are_counted_one_by_one(own: Session, flown: Client) -> None:
    with Station.of(own) as noisy:

        @BOUNDED
        @example([b""])
        @example([b"\0" * 5000])
        @given(st.lists(st.binary(max_size=200), min_size=1, max_size=20))
        def shout(messages: list[bytes]) -> None:
            before = counters(flown)
            for octets in messages:
                noisy.send_octets(octets[:4000])
            assert noisy.is_answered()
            assert rise(flown, before)["frames_rejected"] == len(messages)
            assert flown.ping().ok

        shout()


@pytest.mark.verifies("VA-LINK-05", "VA-SEC-01")
def test_a_valid_message_with_any_bit_turned_is_counted_and_not_obeyed(
    own: Session, flown: Client
) -> None:
    with Station.of(own) as noisy:

        @BOUNDED
        @given(st.integers(0, 8 * 40 - 1))
        def turn(bit: int) -> None:
            before = counters(flown)
            frame = bytearray(noisy.no_operation())
            frame[bit // 8 % len(frame)] ^= 1 << bit % 8
            noisy.send_octets(bytes(frame))
            assert noisy.is_answered()
            rose = rise(flown, before)
            assert (rose["frames_rejected"], rose["accepted"], rose["rejected"]) == (1, 0, 0)

        turn()


@pytest.mark.verifies("VA-LINK-05", "VA-CMD-01", "VA-CMD-03")
def test_an_authentic_message_with_any_packet_in_it_is_rejected_or_obeyed_and_never_worse(
    own: Session, flown: Client
) -> None:
    with Station.of(own) as noisy:
        noisy.heartbeat()
        requests = st.builds(
            telecommand.build,
            st.integers(1, 9),
            st.integers(0, 0x3FFF),
            st.sampled_from([1, 3, 5, 8, 9, 17, 20, 99]),
            st.sampled_from([1, 2, 3, 5, 6, 7, 27, 31, 128]),
            st.binary(max_size=60),
            source=st.sampled_from([2, 7]),
        )

        @BOUNDED
        @given(st.lists(st.one_of(st.binary(max_size=100), requests), min_size=1, max_size=10))
        def say(packets: list[bytes]) -> None:
            before = counters(flown)
            for packet in packets:
                noisy.send_octets(noisy.frame(Kind.TELECOMMAND, packet))
            assert noisy.is_answered()
            rose = rise(flown, before)
            assert rose["frames_rejected"] == 0
            assert rose["accepted"] + rose["rejected"] == len(packets)

        try:
            say()
        finally:
            assert flown.ping().ok
