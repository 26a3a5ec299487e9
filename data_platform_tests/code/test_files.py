"""Changed files of a checkout are noticed once they have come to rest."""

from __future__ import annotations

from pathlib import Path

from data_platform.code.files import Files


def put(root: Path, name: str, text: str = "x") -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_change_is_told_once_and_only_when_the_files_have_come_to_rest(tmp_path: Path) -> None:
    put(tmp_path, "data_platform/defs/defs.yaml")
    put(tmp_path, "data_platform/gone.py")
    files = Files(tmp_path)
    assert files.changed() == []
    put(tmp_path, "data_platform/defs/defs.yaml", "longer")
    put(tmp_path, "dbt_project/models/new.sql")
    assert files.changed() == [], "more may be written"
    (tmp_path / "data_platform/gone.py").unlink()
    assert files.changed() == []
    assert files.changed() == ["data_platform/defs/defs.yaml", "data_platform/gone.py", "dbt_project/models/new.sql"]
    assert files.changed() == []


def test_what_tools_write_is_no_change(tmp_path: Path) -> None:
    put(tmp_path, "dbt_project/dbt_project.yml")
    files = Files(tmp_path)
    for name in ("dbt_project/target/run/model.sql", "data_platform/__pycache__/a.py", "data_platform/defs/.swp"):
        put(tmp_path, name)
    assert [files.changed(), files.changed()] == [[], []]
