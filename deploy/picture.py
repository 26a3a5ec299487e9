"""Draws docs/architecture.svg from the stacks: `python -m deploy.picture`. The security groups (`stacks.network`) tell
who connects to what in the VPC, and to the internet; the other arrows are named here."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from deploy.stacks.network import INSIDE, INTERNET

FILE = Path(__file__).parents[1] / "docs" / "architecture.svg"
WIDTH, HEIGHT = 1120, 560
BOX_WIDTH, BOX_HEIGHT = 150, 52


class Box(NamedTuple):
    """A box: its middle, its second line, and its color."""

    x: int
    y: int
    about: str
    color: str = "#e8eef7"


OUTSIDE, DATA = "#f4f4f4", "#eaf5ea"
BOXES = {
    "people": Box(95, 90, "viewers, editors", OUTSIDE),
    "git server": Box(95, 230, "code, webhook", OUTSIDE),
    "partners": Box(95, 480, "SFTP clients", OUTSIDE),
    "load-balancer": Box(315, 90, "HTTPS, sign-in"),
    "sftp": Box(315, 480, "Transfer Family"),
    "webserver": Box(535, 90, "viewer, editor"),
    "code-server": Box(535, 230, "definitions"),
    "daemon": Box(535, 350, "one, never two"),
    "run": Box(755, 350, "a task per run"),
    "database": Box(755, 160, "RDS PostgreSQL", DATA),
    "landing": Box(755, 480, "bucket", DATA),
    "lake": Box(1015, 350, "bucket", DATA),
    "logs": Box(1015, 220, "bucket", DATA),
    "Snowflake": Box(1015, 480, "tables, models", OUTSIDE),
}
ENTRANCES = (  # from, to, label
    ("people", "load-balancer", "443"),
    ("git server", "load-balancer", "POST"),
    ("partners", "sftp", "22"),
    ("sftp", "landing", "inbound/"),
    ("daemon", "run", "RunTask"),
    ("run", "landing", "archive/, receipts/"),
    ("run", "lake", "extracts/"),
    ("run", "logs", "output"),
    ("Snowflake", "lake", "extracts/"),
)
_HALO = 'fill="#334" stroke="#fff" stroke-width="4" paint-order="stroke"'
_TO = {("run", 443): "Snowflake", ("code-server", 443): "git server"}


def edges() -> Iterator[tuple[str, str, str]]:
    """(from, to, label) of every arrow."""
    yield from ENTRANCES
    yield from ((source, target, str(port)) for source, target, port, _ in INSIDE if target in BOXES)
    yield from ((source, _TO[source, port], str(port)) for source, port in INTERNET if (source, port) in _TO)


def svg() -> str:
    """The picture."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="13">',
        "<title>The platform on AWS: who connects to what</title>",
        '<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        '<rect x="215" y="30" width="640" height="375" rx="8" fill="none" stroke="#99a" stroke-dasharray="5 4"/>',
        '<text x="228" y="50" fill="#667">VPC</text>',
    ]
    lines += [line for edge in edges() for line in _arrow(*edge)]
    for name, box in BOXES.items():
        left, top = box.x - BOX_WIDTH // 2, box.y - BOX_HEIGHT // 2
        size = f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}"'
        lines.append(f'<rect x="{left}" y="{top}" {size} rx="6" fill="{box.color}" stroke="#556"/>')
        lines.append(f'<text x="{box.x}" y="{box.y - 3}" text-anchor="middle" font-weight="bold">{escape(name)}</text>')
        lines.append(f'<text x="{box.x}" y="{box.y + 14}" text-anchor="middle" fill="#445">{escape(box.about)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _arrow(source: str, target: str, label: str) -> Iterator[str]:
    """A line from border to border, with its label a third of the way."""
    (x1, y1), (x2, y2) = _border(BOXES[source], BOXES[target]), _border(BOXES[target], BOXES[source])
    yield f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#667" marker-end="url(#to)"/>'
    x, y = x1 + (x2 - x1) / 3, y1 + (y2 - y1) / 3
    yield f'<text x="{x:.0f}" y="{y - 4:.0f}" text-anchor="middle" font-size="11" {_HALO}>{escape(label)}</text>'


def _border(box: Box, other: Box) -> tuple[int, int]:
    """Where the line between the middles of two boxes leaves the first."""
    dx, dy = other.x - box.x, other.y - box.y
    share = min(
        BOX_WIDTH / 2 / abs(dx) if dx else float("inf"),
        BOX_HEIGHT / 2 / abs(dy) if dy else float("inf"),
    )
    return round(box.x + dx * share), round(box.y + dy * share)


if __name__ == "__main__":
    FILE.write_text(svg(), encoding="utf-8")
