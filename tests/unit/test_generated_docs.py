"""What docs/reference/ and etc/ say is what the code makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from zun.api.versions import VERSIONS
from zun.cmd import generate_docs
from zun.model.lifecycle import ALLOWED, Status

ROOT = Path(__file__).resolve().parents[2]


def test_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_docs.main(["--check", "--root", str(ROOT)]) == 0, capsys.readouterr().out


def test_check_finds_a_stale_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_docs.main(["--root", str(tmp_path)]) == 0
    assert generate_docs.main(["--check", "--root", str(tmp_path)]) == 0
    page = tmp_path / "docs/reference/lifecycle.md"
    page.write_text(page.read_text().replace("yes", "no", 1))
    capsys.readouterr()
    assert generate_docs.main(["--check", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "docs/reference/lifecycle.md is not what the code makes" in said
    assert "configuration.md" not in said


def test_the_guard_table_has_every_action_and_status() -> None:
    page = generate_docs.lifecycle_page()
    assert f"| action | {' | '.join(Status)} |" in page
    for action in ALLOWED:
        assert f"| `{action}` |" in page


def test_every_microversion_is_explained() -> None:
    rows = [line for line in generate_docs.microversions_page().splitlines() if "| 1." in line]
    assert len(rows) == len(VERSIONS)
    assert all(len(row.split("|")[2].strip()) > 3 for row in rows)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in pages
        for target in local_links(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken


def local_links(text: str) -> list[str]:
    targets = [part.split(")")[0].split("#")[0] for part in text.split("](")[1:]]
    return [target for target in targets if target and "://" not in target]
