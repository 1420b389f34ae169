"""Keeps one program and all that it starts together, so that nothing of it is missed or left.

usage: tree.py PARENT_PID COMMAND [ARGUMENT ...]

Orphans of the program become children of this process. It ends them all when it is asked to end, when the program ends, or when its parent is gone.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# For programs that end cleanly: Ray Serve needs seconds to end its processes.
GRACE = 5.0


class Ended(Exception):
    """Somebody asked for the end."""


def descendants() -> list[int]:
    """All below this process, the nearest first."""
    found, queue = [], [os.getpid()]
    while queue:
        pid = queue.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                children = [int(child) for child in task.read_text().split()]
            except OSError:
                continue
            found += children
            queue += children
    return found


def end() -> None:
    """Ends what is left: asks first, then does not."""
    deadline = time.monotonic() + GRACE
    for pid in descendants():
        _signal(pid, signal.SIGTERM)
    while descendants():
        if time.monotonic() > deadline:
            for pid in descendants():
                _signal(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.02)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> int:
    def ended(*_: object) -> None:
        raise Ended

    libc = ctypes.CDLL(None, use_errno=True)
    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    status = 0
    try:
        if os.getppid() != int(sys.argv[1]):
            return 1
        program = subprocess.Popen(sys.argv[2:])
        while True:
            pid, code = os.waitpid(-1, 0)
            if pid == program.pid:
                status = os.waitstatus_to_exitcode(code)
                break
    except (Ended, ChildProcessError):
        pass
    # Once is enough: the end is not interrupted by another request for it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end()
    return status if status >= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
