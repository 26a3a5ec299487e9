"""The demo's files at the small scale, made once, and the feeds as their `defs.yaml` declare them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import data_platform
from data_platform.landing.feed import FeedRules
from data_platform.local_cloud.demo.generate import generate
from data_platform.local_cloud.demo.key import AnswerKey

PARTNERS = Path(data_platform.__file__).parent / "defs" / "sources" / "partners"
DEMO = ("harbor_water", "meridian_parking", "clear_air")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnswerKey]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, generate(folder)


@pytest.fixture(scope="session")
def feeds() -> dict[str, FeedRules]:
    """The demo's feeds by `<partner>/<feed>`."""
    found: dict[str, FeedRules] = {}
    for partner in DEMO:
        declared = yaml.safe_load((PARTNERS / partner / "defs.yaml").read_text())["attributes"]
        for path in sorted((PARTNERS / partner).glob("*/defs.yaml")):
            attributes = yaml.safe_load(path.read_text())["attributes"]
            rules = FeedRules.of(
                {
                    **{name: value for name, value in attributes.items() if name in FeedRules.model_fields},
                    "partner": partner,
                    "name": path.parent.name,
                    "time_zone": declared["time_zone"],
                }
            )
            found[rules.feed] = rules
    return found
