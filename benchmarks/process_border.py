"""Round trips between two processes on board: a packet channel and ZeroMQ, side by side in one run.

``python benchmarks/process_border.py [rounds]``. The other end is a process of its own that sends
every message back. Both carry the same msgpack message and both ends wait in a poll, as on board.
"""

from __future__ import annotations

import os
import resource
import select
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import zmq

from flight.framework.channel import Channel, pair

SIZES = (16, 1024, 32768)
WARM_UP = 200
RoundTrip = Callable[[bytes], None]


def echo_channel() -> tuple[RoundTrip, int]:
    """A forked process that echoes on a packet channel."""
    mine, theirs = pair()
    pid = os.fork()
    if pid == 0:
        mine.close()
        channel = Channel(theirs)
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        while not channel.closed:
            poll.poll()
            for message in channel.receive():
                channel.send(message.kind, message.body)
        os._exit(0)
    theirs.close()
    channel = Channel(mine)
    poll = select.poll()
    poll.register(channel, select.POLLIN)

    def round_trip(data: bytes) -> None:
        channel.send("echo", {"data": data})
        poll.poll()
        channel.receive()

    return round_trip, pid


def echo_zeromq(folder: Path) -> tuple[RoundTrip, int]:
    """A forked process that echoes on a ZeroMQ pair over ipc."""
    address = f"ipc://{folder}/echo"
    pid = os.fork()
    if pid == 0:
        socket = zmq.Context().socket(zmq.PAIR)
        socket.bind(address)
        while True:
            content = msgpack.unpackb(socket.recv())
            if content[3] == "end":
                os._exit(0)
            socket.send(msgpack.packb(content))
    socket = zmq.Context.instance().socket(zmq.PAIR)
    socket.connect(address)
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)

    def round_trip(data: bytes) -> None:
        socket.send(msgpack.packb([1, 0, 0, "echo" if data else "end", {"data": data}]))
        if data:
            poller.poll()
            msgpack.unpackb(socket.recv(zmq.NOBLOCK))

    return round_trip, pid


def measure(round_trip: RoundTrip, size: int, rounds: int) -> str:
    """Median, 99th percentile and processor time of a round trip, as a row of a table."""
    data = bytes(size)
    for _ in range(WARM_UP):
        round_trip(data)
    times = []
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(rounds):
        start = time.perf_counter_ns()
        round_trip(data)
        times.append(time.perf_counter_ns() - start)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_us = 1e6 * (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ) / rounds  # fmt: skip
    median, p99 = statistics.median(times) / 1e3, statistics.quantiles(times, n=100)[98] / 1e3
    return f"{median:8.1f} us {p99:8.1f} us {cpu_us:8.1f} us"


def main() -> None:
    """Print the table; rounds of the two kinds take turns."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with tempfile.TemporaryDirectory() as folder:
        channel, channel_pid = echo_channel()
        zeromq, zeromq_pid = echo_zeromq(Path(folder))
        print("octets  kind           median       p99   cpu of one end")
        for size in SIZES:
            for name, round_trip in (("seqpacket", channel), ("zeromq ipc", zeromq)):
                print(f"{size:6}  {name:10} {measure(round_trip, size, rounds)}")
        threads = len(list(Path("/proc/self/task").iterdir()))
        print(f"threads in this process, of which one is Python's: {threads}")
        zeromq(b"")
        os.kill(channel_pid, 15)
        for pid in (channel_pid, zeromq_pid):
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
