"""The storage worker: every open, write and fsync of the executive, in a process of its own.

Requests that wait in the channel are taken together, performed in order, made durable with one
fsync for each distinct file and directory, and then answered.
Configuration: ``{"state_dir": …, "run_dir": …}``.
"""

from __future__ import annotations

import sys
from collections import deque

from flight.channel import Message
from flight.workers.disk import Disk
from flight.workers.lifeline import Lifeline, WorkerError, load_configuration
from flight.workers.storage_commit import Answer, Batch
from flight.workers.storage_operations import Operations
from flight.workers.storage_paths import Jail

BATCH = 64


class StorageServer:
    """Answers requests over a lifeline until it is over."""

    def __init__(self, lifeline: Lifeline, jail: Jail, disk: Disk) -> None:
        self._lifeline = lifeline
        self._disk = disk
        self._operations = Operations(jail, disk, lifeline.beat_if_due)
        self._unsent: deque[Answer] = deque()

    def run(self) -> None:
        """Serve; at the end what is still queued is done before returning."""
        while not self._lifeline.is_over:
            self.serve(self._lifeline.wait(limit=BATCH))
            self._send_answers()
        while messages := self._lifeline.channel.receive(BATCH):
            self.serve(messages)

    def serve(self, messages: list[Message]) -> None:
        """Perform one batch and send its answers."""
        batch = Batch(self._disk)
        answers = []
        for message in messages:
            request_id = message.body.get("id")
            if type(request_id) is not int:
                continue  # hello, or a request that could not be answered
            answer = Answer(request_id, message.epoch)
            self._operations.perform(batch, message.kind, message.body, answer)
            answers.append(answer)
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
