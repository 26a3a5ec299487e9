"""A container's first process, like `tini` in an image: starts the command, forwards signals, and kills everything in
the container when the command or the AWS server ends.

A bare script that imports the standard library only, so that a container costs some milliseconds and megabytes.
Standard input carries a line with the length of the specification, then the specification as JSON `{"command",
"environment", "folder", "nice"}`, then one letter per order: `T` sends SIGTERM to the command, `K` kills the container.
Its end means that the server is gone. Standard output is the container's. The exit code is the command's, or 128 plus
the signal that ended it.
"""

# Importing pathlib would take as long as the rest of the start.
# ruff: noqa: PTH112, PTH123, PTH208

import contextlib
import ctypes
import json
import os
import select
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
NOT_FOUND, NOT_EXECUTABLE, KILLED = 127, 126, 128 + signal.SIGKILL


def main() -> int:
    spec = json.loads(_received())
    linux = sys.platform.startswith("linux")
    prctl = ctypes.CDLL(None, use_errno=True).prctl if linux else lambda *_: 0
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # so that it also finds and kills processes that leave their session
    me = os.getpid()
    child = os.fork()
    if child == 0:
        _become(spec, prctl, me)
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        code = _reap(child)
        if code is not None:
            _end_all()
            return code
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
        if 0 in ready:
            orders = os.read(0, 64)
            if not orders or b"K" in orders:
                _end_all()
                return KILLED
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)


def _received() -> bytes:
    """Read the specification. Exits if the server is gone already."""
    length, received = b"", b""
    while not length.endswith(b"\n") or len(received) < int(length):
        read = os.read(0, 1 if not length.endswith(b"\n") else int(length) - len(received))
        if not read:
            sys.exit(KILLED)
        if length.endswith(b"\n"):
            received += read
        else:
            length += read
    return received


def _become(spec: dict, prctl, parent: int) -> None:  # type: ignore[no-untyped-def, type-arg]
    """Turn this fork into the container's command."""
    code = NOT_FOUND
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # this process has one thread, so it dies only as a whole
        if os.getppid() != parent:
            os._exit(KILLED)
        os.nice(spec["nice"])
        os.chdir(spec["folder"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and children inherit that
            signal.signal(ignored, signal.SIG_DFL)
        os.execvpe(spec["command"][0], spec["command"], spec["environment"])
    except PermissionError as error:
        code = NOT_EXECUTABLE
        print(error, file=sys.stderr, flush=True)  # noqa: T201
    except OSError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201
    finally:
        os._exit(code)


def _reap(child: int) -> "int | None":
    """Reap every process that ended. Returns the exit code of the command if it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


def _end_all() -> None:
    """Kill whatever is left of the container; the next round finds what it started meanwhile."""
    while True:
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants() -> "list[int]":
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc/self") else []):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found = [os.getpid()]
    for known in found:
        found += [pid for pid, parent in parents.items() if parent == known]
    return found[1:]


if __name__ == "__main__":
    sys.exit(main())
