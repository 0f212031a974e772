"""What a job raises when it cannot go on.

JobError                the job cannot go on
├── InputError          the operator's doing: a parameter or an input file
└── ResultError         the machine's doing: a result failed its own check
    └── MemoryLost      memory of the job has more wrong bits than can be corrected
JobCancelled            the operator asked for the end; let it pass
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class JobError(Exception):
    """The job cannot go on; the message is for the operator."""


class InputError(JobError):
    """A parameter or an input file that the job cannot use; the message says what it can."""


class ResultError(JobError):
    """A result that failed the job's own check: run the job again."""


class MemoryLost(ResultError):
    """Memory of the job is wrong beyond correction; the job goes back to its last commit."""


class JobCancelled(Exception):
    """The operator ended the job; raised by `beat`, to be let through."""
