"""Small faults, written by hand, each of which must fail a test: ``python -m tests.mutate``.

A test that passes with the fence removed proves nothing. Works on a copy of the project, never in place.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutate.fault import Fault
from tests.mutate.file import FILE_FAULTS
from tests.mutate.fleet import FLEET_FAULTS
from tests.mutate.flow import FLOW_FAULTS
from tests.mutate.jobs import JOBS_FAULTS
from tests.mutate.keeping import KEEPING_FAULTS
from tests.mutate.limits import LIMITS_FAULTS
from tests.mutate.locks import LOCKS_FAULTS
from tests.mutate.schedules import SCHEDULES_FAULTS
from tests.mutate.transactions import TRANSACTIONS_FAULTS
from tests.mutate.workflows import WORKFLOWS_FAULTS

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
TIMEOUT_S = 180
NOT_COPIED = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", ".hypothesis", "dist", "build", "*.db*")

FAULTS = (
    *JOBS_FAULTS,
    *KEEPING_FAULTS,
    *LIMITS_FAULTS,
    *FLEET_FAULTS,
    *FILE_FAULTS,
    *SCHEDULES_FAULTS,
    *LOCKS_FAULTS,
    *WORKFLOWS_FAULTS,
    *FLOW_FAULTS,
    *TRANSACTIONS_FAULTS,
)


def broken(text: str, fault: Fault) -> str:
    """Give the text with the fault in it. Raises ValueError unless the place is found exactly once."""
    head, found, rest = text.partition(fault.within) if fault.within else ("", "", text)
    if fault.within and not found:
        raise ValueError(f"no {fault.within.strip()!r} in {fault.path}")
    # A statement ends where the next begins, a function likewise.
    ends = [rest.find(start) for start in ("\n-- name: ", "\ndef ", "\n    def ") if fault.within and start in rest]
    end = min(ends, default=len(rest))
    rest, tail = rest[:end], rest[end:]
    if rest.count(fault.old) != 1:
        raise ValueError(
            f"{rest.count(fault.old)} places for {fault.old.strip()!r} in {fault.path} {fault.within.strip()}"
        )
    return head + found + rest.replace(fault.old, fault.new) + tail


def sound(test: str) -> bool:
    """Tell whether a file of tests passes in a copy without a fault: else its failing proves nothing."""
    with tempfile.TemporaryDirectory(prefix="liteq-mutate-") as folder:
        copy = Path(folder) / "liteq"
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        return _verdict(copy, (test,))[0] == "SURVIVED"


def try_out(fault: Fault) -> tuple[bool, str]:
    """Plant the fault in a copy and run its tests there; give whether they caught it, and a line to print."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="liteq-mutate-") as folder:
        copy = Path(folder) / "liteq"
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        target = copy / fault.path
        try:
            target.write_text(broken(target.read_text(encoding="utf-8"), fault), encoding="utf-8")
        except ValueError as error:
            return False, f"MISPLACED      {fault.name}: {error}"
        verdict, caught = _verdict(copy, fault.tests)
    return caught, f"{verdict:<9} {time.monotonic() - began:4.1f}s {fault.name}"


def _verdict(copy: Path, tests: tuple[str, ...]) -> tuple[str, bool]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # The copy comes before the editable install of the project itself.
    paths = os.pathsep.join([str(copy), str(copy / "cli")])
    try:
        ended = subprocess.run(
            command,
            cwd=copy,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "caught", True
    # 1: tests failed. Anything else but 0 is a run that told nothing.
    if ended.returncode not in {0, 1}:
        return f"BROKE {ended.returncode}: {ended.stdout[-300:]}{ended.stderr[-300:]}", False
    return ("caught", True) if ended.returncode else ("SURVIVED", False)


def main() -> int:
    """Try every fault whose name holds the word given, all without one; 1 when any was not caught."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [fault for fault in FAULTS if wanted in fault.name]
    began, missed = time.monotonic(), 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tests = sorted({test for fault in chosen for test in fault.tests})
        broken_already = [test for test, passed in zip(tests, pool.map(sound, tests), strict=True) if not passed]
        if broken_already:
            sys.stdout.write(f"these fail without any fault, mend that first: {', '.join(broken_already)}\n")
            return 1
        for n, (caught, line) in enumerate(pool.map(try_out, chosen), 1):
            missed += not caught
            sys.stdout.write(f"{n:>2}/{len(chosen)} {line}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - missed} caught, {missed} not, in {time.monotonic() - began:.0f} s\n")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
