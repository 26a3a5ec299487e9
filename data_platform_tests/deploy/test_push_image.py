"""deploy/push-image, with docker and the AWS CLI replaced by scripts that note their calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from data_platform_tests.deploy.dockerfile import ROOT

REPOSITORY = "111111111111.dkr.ecr.us-east-1.amazonaws.com/data-platform"
AWS = """#!/bin/sh
case "$*" in
  *describe-images*--registry-id\\ 111111111111\\ --repository-name\\ data-platform*)
    test -e {folder}/pushed && echo sha256:abc ;;
  *get-login-password*) echo a-password ;;
  *) exit 9 ;;
esac
"""
DOCKER = """#!/bin/sh
echo "$1" >> {folder}/calls
test "$1" != login || cat > {folder}/password
test "$1" != push || touch {folder}/pushed
"""


@pytest.mark.parametrize("there", [False, True])
def test_an_image_is_built_once_per_commit(tmp_path: Path, there: bool) -> None:
    for name, script in (("aws", AWS), ("docker", DOCKER)):
        (tmp_path / name).write_text(script.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    if there:
        (tmp_path / "pushed").touch()
    output = tmp_path / "output"
    done = subprocess.run(
        [ROOT / "deploy" / "push-image"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "REPOSITORY": REPOSITORY, "GITHUB_OUTPUT": str(output)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert output.read_text() == "digest=sha256:abc\n"
    calls = (tmp_path / "calls").read_text().split() if not there else []
    assert calls == ([] if there else ["login", "build", "push"])
