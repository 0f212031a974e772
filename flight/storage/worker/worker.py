"""The storage worker: every open, write and fsync of the executive, in a process of its own.

Requests that wait in the channel are taken together, performed in order, made durable with one
fsync for each distinct file and directory, and then answered. Between the pieces of a long one
the short ones that came meanwhile are served: a digest of gigabytes holds up no ceiling.
Configuration: ``{"state_dir": …, "run_dir": …}``.
"""

from __future__ import annotations

import sys
from collections import deque

from flight.framework.channel import Message
from flight.storage.worker.disk import Disk
from flight.storage.worker.group_commit import Answer, Batch
from flight.storage.worker.operations import Operations
from flight.storage.worker.paths import Jail
from flight.workers.lifeline import Lifeline, WorkerError, load_configuration

BATCH = 64
LONG = frozenset({"digest", "copy", "protect", "mend"})
"""Requests whose work grows with a file."""


class StorageServer:
    """Answers requests over a lifeline until it is over."""

    def __init__(self, lifeline: Lifeline, jail: Jail, disk: Disk) -> None:
        self._lifeline = lifeline
        self._disk = disk
        self._operations = Operations(jail, disk, self._meanwhile)
        self._unsent: deque[Answer] = deque()
        self._waiting: deque[Message] = deque()
        self._is_amid_long = False

    def run(self) -> None:
        """Serve; at the end what is still queued is done before returning."""
        while not self._lifeline.is_over:
            self.serve(self._lifeline.wait(limit=BATCH))
            self._send_answers()
        while messages := self._lifeline.channel.receive(BATCH):
            self.serve(messages)
        self._operations.close()

    def serve(self, messages: list[Message]) -> None:
        """Perform one batch, and what comes amid its long requests, and send the answers."""
        self._waiting.extend(messages)
        batch = Batch(self._disk)
        answers: list[Answer] = []
        while self._waiting:
            message = self._waiting.popleft()
            self._is_amid_long = message.kind in LONG
            self._perform(batch, message, answers)
        self._is_amid_long = False
        self._finish(batch, answers)

    def _meanwhile(self) -> None:
        """Between two pieces of a request: beat; if it is long, serve the short ones."""
        self._lifeline.beat_if_due()
        if not self._is_amid_long or self._unsent:
            return
        waiting = [*self._waiting, *self._lifeline.receive(BATCH)]
        self._waiting = deque(message for message in waiting if message.kind in LONG)
        short = [message for message in waiting if message.kind not in LONG]
        if not short:
            return
        self._is_amid_long = False
        batch = Batch(self._disk)
        answers: list[Answer] = []
        for message in short:
            self._perform(batch, message, answers)
        self._finish(batch, answers)
        self._is_amid_long = True

    def _perform(self, batch: Batch, message: Message, answers: list[Answer]) -> None:
        request_id = message.body.get("id")
        if type(request_id) is not int:
            return  # hello, or a request that could not be answered
        answer = Answer(request_id, message.epoch)
        self._operations.perform(batch, message.kind, message.body, answer)
        answers.append(answer)

    def _finish(self, batch: Batch, answers: list[Answer]) -> None:
        batch.finish()
        self._unsent.extend(answers)
        self._try_to_send()

    def _send_answers(self) -> None:
        # An answer is never dropped: no new request is taken while one cannot be sent.
        while self._unsent and not self._lifeline.is_over:
            self._lifeline.wait_until_writable()
            self._try_to_send()

    def _try_to_send(self) -> None:
        while self._unsent:
            answer = self._unsent[0]
            if not self._lifeline.channel.send("done", answer.body(), epoch=answer.epoch):
                return
            self._unsent.popleft()


def main(argv: list[str]) -> int:
    """Run the worker; exit status 2 when it cannot start."""
    disk = Disk()
    try:
        configuration = load_configuration(argv)
        lifeline = Lifeline.from_environment()
        jail = Jail(disk, configuration["state_dir"], configuration["run_dir"])
    except (WorkerError, OSError, KeyError) as error:
        sys.stderr.write(f"storage worker: {error}\n")
        return 2
    StorageServer(lifeline, jail, disk).run()
    jail.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
