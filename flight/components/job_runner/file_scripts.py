"""What the job runner does with files, as scripts: inputs, commits, products, clearing up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flight.components.job_runner import stimuli as s
from flight.components.job_runner.records import Commit, Digest, JobRecord
from flight.storage.script import Script, StorageFailed, ask, must, tolerate

LOGS = "state/files/logs"
MANIFEST = "manifest.json"
MOST_IGNORED = 16
SIDECAR = ".edac"


def run_folder(job: int) -> str:
    """Where its worker works."""
    return f"run/jobs/{job}"


def state_folder(job: int) -> str:
    """Where its commits are kept."""
    return f"state/jobs/{job}"


def commit_path(job: int, commit: Commit) -> str:
    """Where that commit is kept."""
    return f"{state_folder(job)}/commit.{commit.slot}"


def log_path(job: int) -> str:
    """Where the log of its last attempt is kept, for people."""
    return f"{LOGS}/job-{job}.log"


def product_folder(job: int) -> str:
    """Where its products are published."""
    return f"state/files/products/job-{job}"


def prepare(
    record: JobRecord, inputs: Mapping[str, tuple[str, str]]
) -> Script[s.Prepared | s.NotPrepared]:
    """Check inputs (parameter → name, path), read commits back, empty the folder of the run."""
    try:
        digests = {}
        for parameter, (name, path) in inputs.items():
            found = yield from tolerate("mend", "ENOENT", path=path)
            if found is None:
                reason = f"{parameter}: the file store has no '{name}'; put it there first"
                return s.NotPrepared(record.id, reason, True)
            if not found["is_recoverable"]:
                reason = f"{parameter}: '{name}' is damaged beyond repair; put it there again"
                return s.NotPrepared(record.id, reason, True)
            digests[parameter] = _digest(found)
            if record.inputs.get(parameter, digests[parameter]) != digests[parameter]:
                reason = f"{parameter}: '{name}' changed since the job began; submit it anew"
                return s.NotPrepared(record.id, reason, True)
        resume = yield from _sound_commit(record)
        yield from _keep_log(record.id)
        yield from tolerate("remove_tree", "ENOENT", path=run_folder(record.id))
        yield from must("make_dir", path=run_folder(record.id))
    except StorageFailed as failure:
        return s.NotPrepared(record.id, failure.reason, False)
    return s.Prepared(record.id, digests, resume)


def _sound_commit(record: JobRecord) -> Script[Commit | None]:
    for commit in (record.commit, record.previous):
        if commit is None:
            continue
        path = commit_path(record.id, commit)
        found = yield from tolerate("mend", "ENOENT", "EIO", path=path, form="commit")
        is_there = found and (found["size"], found["seal"]) == (commit.size, commit.crc32)
        if is_there and found["is_recoverable"]:
            return commit
    return None


def keep_commit(job: int, source: int, commit: Commit) -> Script[s.CommitKept | s.CommitNotKept]:
    """Copy a commit of the run to the disk; only a copy that is whole counts."""
    try:
        yield from must("make_dir", path=state_folder(job))
        copied = yield from must(
            "copy",
            source=f"{run_folder(job)}/commit.{source}",
            path=commit_path(job, commit),
            form="commit",
        )
    except StorageFailed as failure:
        return s.CommitNotKept(job, failure.reason, False)
    if (copied["size"], copied["seal"]) != (commit.size, commit.crc32):
        return s.CommitNotKept(job, f"commit of step {commit.step} changed meanwhile", True)
    return s.CommitKept(job, commit)


def publish(
    job: int, outputs: Sequence[str], about: Mapping[str, Any]
) -> Script[s.Published | s.NotPublished]:
    """Copy the declared outputs to the file store, read them back, and write their manifest."""
    source, target = f"{run_folder(job)}/out", product_folder(job)
    try:
        rows = yield from tolerate("list", "ENOENT", path=source)
        if rows is None and outputs:
            return s.NotPublished(job, "its outputs are gone", True)
        written = {name for name, is_folder, _ in rows or () if not is_folder}
        yield from must("make_dir", path=target)
        files: dict[str, Any] = {}
        unprotected = []
        for name in outputs:
            if name not in written:
                continue
            path = f"{target}/{name}"
            found = yield from _copy_output(f"{source}/{name}", path)
            if found is None:
                return s.NotPublished(job, f"{name} reads back differently", False)
            files[name] = vars(_digest(found))
            if not (yield from _protect(path, found)):
                unprotected.append(name)
        manifest = {
            "format": 1,
            "job": job,
            **about,
            "files": files,
            "missing": [name for name in outputs if name not in written],
            "ignored": sorted(written - set(outputs))[:MOST_IGNORED],
            "unprotected": unprotected,
        }
        octets = json.dumps(manifest, indent=1).encode() + b"\n"
        yield from tolerate("remove", "ENOENT", path=f"{target}/{MANIFEST}{SIDECAR}")
        yield from must("write", path=f"{target}/{MANIFEST}", data=octets)
        yield from _protect(f"{target}/{MANIFEST}")
    except StorageFailed as failure:
        return s.NotPublished(job, failure.reason, False)
    return s.Published(job, len(files), sum(file["size"] for file in files.values()))


def _copy_output(source: str, path: str) -> Script[Mapping[str, Any] | None]:
    """Copy one output; its digest as read back, None when that is of other octets."""
    yield from tolerate("remove", "ENOENT", path=path + SIDECAR)
    copied = yield from must("copy", source=source, path=path)
    found: Mapping[str, Any] = yield from must("digest", path=path)
    is_same = (found["size"], found["crc32"]) == (copied["size"], copied["crc32"])
    return found if is_same else None


def _protect(path: str, wanted: Mapping[str, Any] | None = None) -> Script[bool]:
    """Give a file its sidecar; False where that cannot be done, for another reason than room.

    A sidecar of something else than what is `wanted` would make an upset's work the truth.
    """
    found = yield from tolerate("protect", "EIO", "ESTALE", "ETIMEDOUT", path=path)
    if found is None:
        return False
    if wanted is None or found["sha256"] == wanted["sha256"]:
        return True
    yield from must("remove", path=path + SIDECAR)
    return False


def clear(job: int) -> Script[None]:
    """Remove the folder of a run that is over; its log goes to the file store."""
    yield from _keep_log(job)
    yield from ask("remove_tree", path=run_folder(job))


def forget(job: int) -> Script[None]:
    """Remove a job's commits and its log, but not its products."""
    yield from ask("remove_tree", path=state_folder(job))
    yield from ask("remove", path=log_path(job))


def _keep_log(job: int) -> Script[None]:
    yield from ask("make_dir", path=LOGS)
    yield from ask("copy", source=f"{run_folder(job)}/log", path=log_path(job))


def _digest(found: Mapping[str, Any]) -> Digest:
    return Digest(found["size"], found["crc32"], bytes(found["sha256"]).hex())
