"""The dictionary that the fake payload of these tests speaks, made from icd alone."""

from __future__ import annotations

from icd.dictionary import (
    CommandEntry,
    ComponentDictionary,
    Dictionary,
    EventEntry,
    JobFragment,
    ReportEntry,
    Severity,
)
from icd.fields import Field

U32 = {"code": "I"}
LEVEL = Field("level", "H", description="power level", unit="W", low=16, high=8192)
STATE = Field("state", "B", labels=((0, "IDLE"), (1, "BUSY"), (7, "LOST")))
TRANSACTION = Field("transaction", "I")
PATH = Field("path", "s", 128)
OFFSET = Field("offset", "Q")
DATA = Field("data", "o", 3072)
SIZE, CRC32 = Field("size", "Q"), Field("crc32", "I")
JOB = Field("job", "I")
LEVELS = ((0, "NONE"), (1, "ABFT"), (2, "DMR"), (3, "TMR"), (4, "ADAPTIVE"))
PROTECTION = Field("protection", "B", labels=LEVELS)

HOUSEKEEPING = (
    Field("power", "f", unit="W", low=0.0, high=400.0),
    Field("temperature", "f", unit="°C", low=-40.0, high=90.0),
    Field("uptime", "I", unit="s"),
    STATE,
    Field("enabled", "?"),
)
COMMANDS = ComponentDictionary("commands", 1, "CommandHandler", "Verifies telecommands.")
BOARD = ComponentDictionary(
    "board",
    4,
    "Board",
    "Watches the board.",
    commands=(
        CommandEntry(1, "set_level", "Set the power level.", (LEVEL,), timeout_s=0.2),
        CommandEntry(2, "measure", "Measure.", (), (Field("power", "f", unit="W"),)),
        CommandEntry(3, "silent", "Never answers.", (), timeout_s=0.1),
        CommandEntry(4, "set_state", "Set the state.", (STATE, Field("hold", "?"))),
        CommandEntry(5, "walk", "Answers stage by stage.", (Field("steps", "B"),)),
        CommandEntry(6, "tune", "Set gains.", (Field("gains", "f", 3, True, low=0.0, high=1.0),)),
        CommandEntry(7, "name_it", "Name it.", (Field("name", "s", 16),)),
    ),
    events=(
        EventEntry(1, "hot", Severity.HIGH, "{sensor} at {celsius:.1f} °C is {state}",
                   (Field("sensor", "H"), Field("celsius", "f"), STATE)),
        EventEntry(2, "odd_format", Severity.INFO, "state {state:#x}", (STATE,)),
    ),
    housekeeping=HOUSEKEEPING,
    parameters=(Field("period", "f", unit="s", low=0.1, high=60.0), Field("depth", "B")),
)  # fmt: skip
JOBS = ComponentDictionary(
    "jobs",
    5,
    "JobRunner",
    "Runs jobs.",
    commands=(
        CommandEntry(
            1,
            "submit",
            "Queue a job.",
            (
                Field("kind", "H"),
                Field("fragment", "I"),
                Field("priority", "B"),
                Field("wall_s", "I"),
                Field("memory_mb", "I"),
                PROTECTION,
                Field("arguments", "o", 1024),
            ),
            (JOB,),
        ),
        CommandEntry(2, "pause", "Pause a job.", (JOB,)),
        CommandEntry(3, "resume", "Resume a job.", (JOB,)),
        CommandEntry(4, "cancel", "Cancel a job.", (JOB,)),
        CommandEntry(5, "list", "Report all jobs.", (), (Field("jobs", "H"),)),
        CommandEntry(6, "set_protection", "Protect otherwise.", (JOB, PROTECTION)),
    ),
    events=(EventEntry(3, "job_done", Severity.INFO, "job {job} is done", (JOB,)),),
    reports=(
        ReportEntry(
            1,
            "job_status",
            "One job.",
            (
                JOB,
                Field("kind", "H"),
                Field("phase", "B", labels=((0, "QUEUED"), (1, "RUNNING"), (4, "DONE"))),
                Field("step", "Q"),
                Field("total", "Q"),
                Field("reason", "s", 64),
                Field("metrics", "d", 8, True),
            ),
        ),
    ),
)
FILES = ComponentDictionary(
    "files",
    6,
    "FileStore",
    "Keeps files.",
    commands=(
        CommandEntry(1, "put_begin", "Begin.", (TRANSACTION, PATH, SIZE, CRC32)),
        CommandEntry(2, "put_segment", "A segment.", (TRANSACTION, OFFSET, DATA)),
        CommandEntry(3, "put_end", "End.", (TRANSACTION,)),
        CommandEntry(4, "put_status", "Ask.", (TRANSACTION,), (Field("received", "Q"),)),
        CommandEntry(5, "get_begin", "Begin.", (TRANSACTION, PATH, OFFSET), (SIZE, CRC32)),
        CommandEntry(6, "get_more", "Again.", (TRANSACTION, OFFSET, Field("length", "Q"))),
        CommandEntry(7, "get_end", "End.", (TRANSACTION,)),
        CommandEntry(8, "list", "List.", (PATH,)),
    ),
    reports=(
        ReportEntry(1, "segment", "A segment.", (TRANSACTION, OFFSET, DATA)),
        ReportEntry(2, "entry", "A file.", (PATH, SIZE)),
    ),
)
MATMUL = JobFragment(
    1,
    "matmul",
    "Multiply matrices.",
    (
        Field("size", "H", description="rows and columns", low=16, high=4096),
        Field("repeats", "H", low=1, high=1000),
    ),
    (256, 1),
    (("product.npy", "the product"),),
    (Field("gflops", "d", unit="Gflop/s"),),
)
NANOGPT = JobFragment(
    2,
    "nanogpt",
    "Train.",
    (Field("text", "s", 128, is_file=True), Field("steps", "I", low=1, high=100000)),
    (None, 100),
)
DICTIONARY = Dictionary((COMMANDS, BOARD, JOBS, FILES), (MATMUL, NANOGPT))
