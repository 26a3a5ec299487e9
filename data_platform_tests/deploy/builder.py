"""Carries out the Dockerfile without a container engine: overlay file systems over this machine's root, a chroot for
each step, namespaces for each container. Needs Linux and root; nothing of it is seen, or left, outside its namespaces.

What differs from an engine: the base image is this machine's Debian with this Python, and `pip` hands over to uv, whose
cache saves the download. Packages, hashes, paths, users, commands and file permissions are the Dockerfile's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_platform_tests.deploy.containers import BASE_PREFIX, MORTAL, PATH, Container, as_user, pairs
from data_platform_tests.deploy.dockerfile import (
    ROOT,
    Ignored,
    Instruction,
    Stage,
    ancestry,
    command_of,
    context_files,
    expanded,
    image_environment,
    read_stages,
)
from data_platform_tests.end_to_end.platform import wait_for

_PIP = """\
#!/bin/sh
# Stands in for pip: the same packages by the same hashes, from uv's cache. `pip [--python P] install ARGUMENTS`
set -eu
python="%s"
if [ "$1" = --python ]; then python="$2"; shift 2; fi
shift
words=$(echo "$*" | sed s/--compile/--compile-bytecode/)
exec %s pip install --quiet --break-system-packages --python "$python" $words
"""


class StepFailed(Exception):
    """A step of the Dockerfile failed; the message holds the step and what it printed."""


@dataclass
class Builder:
    """Builds stages below `work`, an empty folder, in a mount namespace that a process of its own holds."""

    work: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of every RUN beside the image's, as of the machine that builds: proxies, certificates."""

    def __post_init__(self) -> None:
        self.stages = read_stages()
        self.ignored = Ignored.read()
        self.uppers: dict[str, list[Path]] = {}
        self.seconds: dict[str, float] = {}
        self.containers: list[Container] = []
        self._holder = subprocess.Popen(
            [*MORTAL, "unshare", "--mount", "--net", "--propagation", "private", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._own_network()
            self._mount("-t", "tmpfs", "-o", "size=8g", "tmpfs", str(self.work))
            self._base()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the containers and the namespace, and with it every mount."""
        for container in self.containers:
            container.process.kill()
            container.process.wait()
        self._holder.kill()
        self._holder.wait()

    def build(self, name: str) -> None:
        """Builds a stage, and before it those that it comes from or copies from."""
        if name in self.uppers:
            return
        stage = self.stages[name]
        if stage.base in self.stages:
            self.build(stage.base)
        for copy in stage.of("COPY"):
            if "from" in copy.flags:
                self.build(copy.flags["from"])
        began = time.monotonic()
        upper, scratch, merged = self._folders(name)
        below = self.uppers.get(stage.base, [self._seen("this-machine")])
        self.uppers[name] = [upper, *below]
        lower = ":".join(str(self.work / layer.name) for layer in below)
        self._mount("-t", "overlay", "overlay", "-o", f"lowerdir={lower}:/,upperdir={upper},workdir={scratch}", merged)
        self._machine(merged)
        for variables, folder, instruction in self._steps(stage):
            if instruction.name == "COPY":
                self._copy(name, instruction, folder)
            else:
                self._run(merged, variables, folder, instruction.value)
        self.seconds[name] = time.monotonic() - began

    def start(
        self,
        stage: str,
        name: str,
        settings: Mapping[str, str],
        command: Sequence[str] | None = None,
        binds: Mapping[Path, str] | None = None,
        entrypoint: Sequence[str] | None = None,
    ) -> Container:
        """Starts a container as an engine would: read-only root, an empty /tmp, the image's user, entry point and
        variables, no capability, no new privileges, and no network but the loopback that all containers here share."""
        root = self.work / f"run-{name}"
        layers = ":".join(str(self.work / layer.name) for layer in self.uppers[stage])
        environment = {**image_environment(self.stages, stage, {"PATH": PATH}), **settings}
        words = [
            *(entrypoint if entrypoint is not None else command_of(self.stages, stage, "ENTRYPOINT").words),
            *(command if command is not None else command_of(self.stages, stage, "CMD").words),
        ]
        mounts = [
            f"mkdir -p {root}",
            f"mount -t overlay overlay -o ro,lowerdir={layers}:/ {root}",
            f"mount -t proc proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
            f"mount -t tmpfs -o size=1g,mode=1777 tmpfs {root}/tmp",
            # Where a volume of the machine is mounted: over an empty folder, as the root can't take a new one.
            *(
                f"mkdir -p {root}{target} && mount --bind {source} {root}{target}"
                for source, target in (binds or {}).items()
            ),
        ]
        inside = f'cd {command_of(self.stages, stage, "WORKDIR").value} && exec "$@"'
        log = self.work.parent / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *MORTAL,
                    *self._inside("--net"),
                    *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-euc"),
                    " && ".join(mounts) + f' && exec chroot {root} "$@"',
                    *("sh", "sh", "-euc", inside, "sh", *as_user(environment), *words),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"PATH": PATH},
            )
        self.containers.append(Container(name, process, log, environment))
        return self.containers[-1]

    def seen(self, stage: str, path: str) -> Path:
        """A path of a built stage, as this process can open it."""
        return self._seen(f"{stage}-root") / path.lstrip("/")

    def _steps(self, stage: Stage) -> list[tuple[dict[str, str], str, Instruction]]:
        """Each RUN and COPY with the variables and the working folder that it finds."""
        variables = {"PATH": PATH, **self.environment}
        folder, steps = "/", []
        for one in ancestry(self.stages, stage.name):
            for instruction in one.instructions:
                if instruction.name == "ENV":
                    variables |= {name: expanded(text, variables) for name, text in instruction.assignments.items()}
                elif instruction.name == "WORKDIR":
                    folder = instruction.value
                elif one.name == stage.name and instruction.name in ("RUN", "COPY"):
                    steps.append((dict(variables), folder, instruction))
        return steps

    def _run(self, merged: str, variables: Mapping[str, str], folder: str, text: str) -> None:
        script = f'mkdir -p "{folder}"; cd "{folder}"; {text}'
        done = subprocess.run(
            [*self._inside(), "chroot", merged, "env", "-i", *pairs(variables), "/bin/sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StepFailed(f"RUN {text}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def _copy(self, stage: str, copy: Instruction, folder: str) -> None:
        *sources, target = [word for word in copy.words if not word.startswith("--")]
        if "from" in copy.flags:
            origin = self.work / f"{copy.flags['from']}-root"
            for source in sources:
                into = f"{self.work}/{stage}-root{Path(target).parent}"
                self._do("mkdir", "-p", into)
                self._do("cp", "--archive", f"{origin}{source}", f"{into}/{Path(target).name}")
            return
        for source in sources:
            one_file = (ROOT / source).is_file()
            for path in context_files(source, self.ignored):
                name = Path(path).name if one_file else Path(path).relative_to(source)
                place = target if one_file and not target.endswith("/") else f"{target}/{name}"
                file = self.seen(stage, str(Path(folder) / place))
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, file)

    def _base(self) -> None:
        """What stands in for the base image: this machine without the checkout, with a `pip` that is uv."""
        layer = self._seen("this-machine")
        layer.mkdir()
        programs = layer / BASE_PREFIX.relative_to("/") / "bin"
        inner = programs.relative_to(layer)
        for folder in reversed([inner, *inner.parents]):
            (layer / folder).mkdir(exist_ok=True)
            (layer / folder).chmod(0o755)  # the image's user finds Python, though it is in root's home
        shutil.copy2(Path(sys.prefix) / "bin" / "uv", programs / "uv")
        (programs / "pip").write_text(_PIP % (f"{BASE_PREFIX}/bin/python", f"{BASE_PREFIX}/bin/uv"), encoding="utf-8")
        (programs / "pip").chmod(0o755)
        for hidden in sorted({ROOT, Path(sys.prefix)}):  # by a whiteout
            path = layer / hidden.relative_to("/")
            if not any(parent.is_char_device() for parent in path.parents):
                path.parent.mkdir(parents=True, exist_ok=True)
                os.mknod(path, 0o600 | 0o020000, os.makedev(0, 0))
        cache = Path(os.environ.get("UV_CACHE_DIR", Path.home() / ".cache" / "uv"))
        self._cache = cache if cache.exists() else None

    def _machine(self, merged: str) -> None:
        """What every step finds mounted, and an empty /tmp."""
        self._mount("--rbind", "/proc", f"{merged}/proc")
        self._mount("--rbind", "/dev", f"{merged}/dev")
        self._mount("-t", "tmpfs", "tmpfs", f"{merged}/tmp")
        if self._cache is not None:
            self._mount("--bind", str(self._cache), f"{merged}{self._cache}")
            self.environment = {**self.environment, "UV_CACHE_DIR": str(self._cache), "UV_LINK_MODE": "copy"}

    def _folders(self, name: str) -> tuple[Path, Path, str]:
        for part in ("layer", "scratch", "root"):
            self._seen(f"{name}-{part}").mkdir()
        return self.work / f"{name}-layer", self.work / f"{name}-scratch", str(self.work / f"{name}-root")

    def _seen(self, name: str) -> Path:
        return Path(f"/proc/{self._holder.pid}/root") / self.work.relative_to("/") / name

    def _own_network(self) -> None:
        # Its namespaces are there, and what is mounted in them shows nowhere else, when it has become what it ends as.
        command = Path(f"/proc/{self._holder.pid}/cmdline")
        wait_for(lambda: command.read_bytes().startswith(b"sleep\0"), 60, "the namespaces", every=0.02)
        subprocess.run([*self._inside("--net"), "ip", "link", "set", "lo", "up"], check=True)

    def _mount(self, *arguments: str) -> None:
        self._do("mount", *arguments)

    def _do(self, *command: str) -> None:
        subprocess.run([*self._inside(), *command], check=True, capture_output=True)

    def _inside(self, *namespaces: str) -> list[str]:
        return ["nsenter", f"--target={self._holder.pid}", "--mount", *namespaces]


def why_not() -> str | None:
    """Why nothing can be built on this machine; None where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, for mounts and namespaces"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "chroot", "ip", "apt-get") if not shutil.which(name)]
    return f"needs {', '.join(missing)}" if missing else None
