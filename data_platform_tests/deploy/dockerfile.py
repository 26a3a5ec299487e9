"""The Dockerfile and .dockerignore as data. Lines are read by `dockerfile-parse`; here stages, words and patterns are
made of them. What an instruction does when it is carried out is in `builder`."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]

import data_platform

ROOT = Path(data_platform.__file__).parents[1]


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, and what follows in one line."""

    name: str
    value: str

    @property
    def words(self) -> list[str]:
        """The arguments: of the JSON form as they stand, else as a shell splits them."""
        if self.value.startswith("["):
            return [str(word) for word in json.loads(self.value)]
        return shlex.split(self.value)

    @property
    def flags(self) -> dict[str, str]:
        """The `--name=value` before the arguments."""
        leading: dict[str, str] = {}
        for word in self.value.split():
            if not word.startswith("--"):
                break
            name, _, value = word[2:].partition("=")
            leading[name] = value
        return leading

    @property
    def assignments(self) -> dict[str, str]:
        """The `NAME=value`s of ENV and LABEL."""
        return dict(word.split("=", 1) for word in self.words)


@dataclass(frozen=True)
class Stage:
    """What lies between one FROM and the next. `base`: an image, or the name of a stage above."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def of(self, name: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.name == name]


def read_stages(file: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """The stages by name, in order."""
    parser = DockerfileParser(fileobj=io.BytesIO(file.read_bytes()))
    found: list[tuple[str, str, list[Instruction]]] = []
    for line in parser.structure:
        instruction = Instruction(line["instruction"], line["value"])
        if instruction.name == "FROM":
            base, *named = instruction.words
            found.append((named[1] if named else str(len(found)), base, []))
        elif instruction.name != "COMMENT":
            found[-1][2].append(instruction)
    return {name: Stage(name, base, tuple(instructions)) for name, base, instructions in found}


def ancestry(stages: Mapping[str, Stage], name: str) -> list[Stage]:
    """A stage and those it is made from, the first first."""
    line = [stages[name]]
    while line[0].base in stages:
        line.insert(0, stages[line[0].base])
    return line


def command_of(stages: Mapping[str, Stage], name: str, instruction: str) -> Instruction:
    """The last such instruction (ENTRYPOINT, CMD, USER, ...) that an image of the stage has. Raises IndexError."""
    return [found for stage in ancestry(stages, name) for found in stage.of(instruction)][-1]


def healthcheck(stages: Mapping[str, Stage], name: str) -> list[str]:
    """The words of the health check's command."""
    text = command_of(stages, name, "HEALTHCHECK").value
    return Instruction("CMD", text[text.index("CMD") + 3 :].strip()).words


def image_environment(stages: Mapping[str, Stage], name: str, given: Mapping[str, str]) -> dict[str, str]:
    """The variables that a container of the stage has, beside those of the base image (`given`)."""
    environment = dict(given)
    for stage in ancestry(stages, name):
        for instruction in stage.of("ENV"):
            environment.update(
                (variable, expanded(value, environment)) for variable, value in instruction.assignments.items()
            )
    return environment


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """The text with `$NAME` and `${NAME}` put in."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: environment.get(found[1], ""), text)


@dataclass(frozen=True)
class Ignored:
    """The rules of a .dockerignore: the last that fits a path, or a folder above it, decides."""

    rules: tuple[tuple[re.Pattern[str], bool], ...]

    @classmethod
    def read(cls, file: Path = ROOT / ".dockerignore") -> Ignored:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        patterns = [line for line in lines if line and not line.startswith("#")]
        return cls(tuple((_pattern(line.lstrip("!").strip("/")), line.startswith("!")) for line in patterns))

    def __call__(self, path: str) -> bool:
        """Whether the build doesn't see a path below the root."""
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        ignored = False
        for pattern, excepted in self.rules:
            if any(pattern.fullmatch(part) for part in above):
                ignored = not excepted
        return ignored


def _pattern(text: str) -> re.Pattern[str]:
    kinds = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(kinds.get(part) or re.escape(part) for part in re.split(r"(\*\*/|\*\*|\*|\?)", text)))


def context_files(source: str, ignored: Ignored, root: Path = ROOT) -> Iterator[str]:
    """The files of the build's context that `COPY source` brings, below `root`."""
    origin = root / source
    found: Sequence[Path] = [origin] if origin.is_file() else sorted(origin.rglob("*"))
    for file in found:
        path = file.relative_to(root).as_posix()
        if file.is_file() and not ignored(path):
            yield path
