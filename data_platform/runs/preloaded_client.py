"""The program that multiprocessing starts instead of a new Python: `preloaded_client.py SOCKET -c CODE ...`. It asks
the template of `preloaded` to run the code, and ends as that run does. Each run starts one, so it imports little."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Sequence


def main(path: str, arguments: Sequence[str]) -> None:
    """Asks the template to run `python ARGUMENTS`, and waits. Becomes that Python if there is no template."""
    files = [int(name) for name in os.listdir("/proc/self/fd") if _was_inherited(int(name))]  # noqa: PTH208
    connection = socket.socket(socket.AF_UNIX)
    try:
        if "--multiprocessing-fork" not in arguments:
            raise FileNotFoundError("multiprocessing's resource tracker is no run")
        connection.connect(path)
    except OSError:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  no shell is wanted
    code, *rest = arguments[arguments.index("-c") + 1 :]
    asked = {"files": files, "environment": dict(os.environ), "code": code, "arguments": rest}
    message = json.dumps(asked).encode()
    socket.send_fds(connection, [len(message).to_bytes(8, "big")], files)
    connection.sendall(message)
    if run := int.from_bytes(connection.recv(8), "big"):
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, lambda sign, _: os.kill(run, sign))
    status = connection.recv(1)
    if not status:  # the run was killed
        os.kill(os.getpid(), signal.SIGKILL)
    connection.recv(1)  # returns when the run's process has ended
    sys.exit(status[0])


def _was_inherited(number: int) -> bool:
    try:
        return number > 2 and os.get_inheritable(number)
    except OSError:  # the descriptor that listed the folder, closed since
        return False


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
