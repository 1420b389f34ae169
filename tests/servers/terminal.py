#!/usr/bin/env python3
"""Runs a command on a terminal of its own and types into it: terminal.py COLUMNSxROWS STEPS COMMAND [ARGUMENT...]

STEPS is JSON: a list of {"wait": TEXT} and {"type": TEXT}. What the terminal showed, without what steers it, is written to stdout in
the end, and the exit status is the command's. Standard library only.
"""
import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

size, steps, command = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
columns, rows = map(int, size.split("x"))
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm-256color"
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
shown = ""


def read(seconds):
    """Takes what was written meanwhile. False: the command has ended."""
    global shown
    if not select.select([terminal], [], [], seconds)[0]:
        return True
    try:
        part = os.read(terminal, 65536)
    except OSError:
        return False
    # A program may ask where the cursor is.
    if b"\x1b[6n" in part:
        os.write(terminal, b"\x1b[1;1R")
    shown += part.decode("utf-8", "replace")
    return bool(part)


def plain():
    """Words that are drawn anew come in pieces, each behind a movement of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()=>][A-Z0-9]?", " ", shown)


for step in steps:
    if "type" in step:
        shown = ""
        os.write(terminal, step["type"].encode())
        continue
    until = time.monotonic() + 60
    while step["wait"] not in plain():
        if time.monotonic() > until or not read(1):
            sys.stdout.write(plain())
            sys.exit(f"\nthe terminal never showed {step['wait']!r}")
while read(60):
    pass
sys.stdout.write(plain())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
