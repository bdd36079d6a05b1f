"""The checklist itself: complete, and read as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.checklist import FAMILIES, Line, cited, explained, lines, rows


def test_the_330_tests_of_the_original_have_331_ids() -> None:
    assert len(lines()) == sum(count for count, _ in FAMILIES.values()) == 331


def test_ids_are_read_singly_and_as_ranges() -> None:
    assert list(cited("T-AL-1, T-AL-3 to T-AL-5, and AL-7")) == [Line("T-AL", n) for n in (1, 3, 4, 5)]
    assert list(cited("T-AL 1, 3 and 5 to 7; CL-9")) == [Line("T-AL", n) for n in (1, 3, 5, 6, 7)]


@pytest.mark.parametrize("wrong", ["T-AL-22", "T-XX-1", "T-AL-0", "T-AL-5 to T-AL-3"])
def test_an_id_that_is_none_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="no line of the checklist"):
        list(cited(wrong))


def test_a_row_explains_every_line_that_it_begins_with(tmp_path: Path) -> None:
    page = tmp_path / "parity.md"
    page.write_text("| line | why |\n| --- | --- |\n| T-NI-1 to T-NI-2 | no packaging |\n| AL-13 | mended |\n")
    assert explained(page) == {Line("T-NI", 1): "no packaging", Line("T-NI", 2): "no packaging"}
    assert rows(page.read_text())["AL-13"] == "mended"
