"""What systemd does for a .socket unit: keeps a listening socket, and passes it to a program as descriptor 3.

usage: socket_unit.py PROGRAM [ARGUMENT ...]

It prints the socket's port. SIGUSR1: the program gets SIGTERM, and is started again when it has ended. SIGTERM: it gets SIGTERM, and no other follows.
"""

import ctypes
import os
import signal
import socket
import sys

listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)
again = True


def start():
    child = os.fork()
    if child == 0:
        # PR_SET_PDEATHSIG: it ends with this script, however that ends.
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        environment = os.environ | {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
        os.execve(sys.argv[1], sys.argv[1:], environment)
    return child


def end(number, _frame):
    global again
    again = again and number == signal.SIGUSR1
    os.kill(child, signal.SIGTERM)


child = start()
signal.signal(signal.SIGUSR1, end)
signal.signal(signal.SIGTERM, end)
while True:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0 or not again:
        sys.exit(code)
    child = start()
    print("started again", flush=True)
