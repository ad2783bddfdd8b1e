"""Arrays and texts under names → one file, from which each comes back alone."""

from pathlib import Path

import numpy as np
import pytest

from dataservice.prepare.work.sections import Section, SectionFile, dump_sections

SECTIONS: dict[str, Section] = {
    "numbers": np.arange(5, dtype=np.uint64) << np.uint64(60),
    "none": np.zeros(0, np.int64),
    "table": np.arange(6, dtype=np.int64).reshape(2, 3),
    "empty": b"",
    "text": "да\nнет\n".encode(),
    "more": b"yes\nno\nperhaps\n",
}


def write(path: Path, sections: dict[str, Section]) -> Path:
    path.write_bytes(b"".join(dump_sections(sections)))
    return path


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_comes_back_in_its_dtype_and_shape(tmp_path: Path, name: str) -> None:
    expected = SECTIONS[name]
    with SectionFile(write(tmp_path / "file", SECTIONS)) as file:
        if isinstance(expected, bytes):
            assert file.text(name) == expected.decode()
            return
        found = file.array(name)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected)


def test_lines_are_those_of_their_section_alone(tmp_path: Path) -> None:
    with SectionFile(write(tmp_path / "file", SECTIONS)) as file:
        for name in ("text", "empty", "more"):
            assert b"".join(file.lines(name)) == SECTIONS[name]
        assert len(list(file.lines("more"))) == 3


def test_a_file_that_was_cut_anywhere_is_an_error_and_nothing_shorter(tmp_path: Path) -> None:
    path = write(tmp_path / "file", SECTIONS)
    whole = path.read_bytes()

    def read_all() -> None:
        with SectionFile(path) as file:
            for name, section in SECTIONS.items():
                if isinstance(section, bytes):
                    assert b"".join(file.lines(name)) == section
                assert file.array(name).tobytes() == bytes(section)

    read_all()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(EOFError, match="shorter than it was"):
            read_all()
