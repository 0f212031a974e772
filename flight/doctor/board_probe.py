"""Opens a board, prints its identity as JSON, and ends; the doctor runs it in a process apart."""

from __future__ import annotations

import dataclasses
import json
import sys

from hal.boards import open_board
from hal.errors import HalError


def main(argv: list[str]) -> int:
    """`python -m flight.doctor.board_probe BOARD`: read-only; the answer holds what went wrong."""
    try:
        board = open_board(argv[1])
        try:
            answer = dataclasses.asdict(board.identity())
        finally:
            board.close()
    except HalError as failure:
        answer = {"error": str(failure)}
    sys.stdout.write(json.dumps(answer, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
