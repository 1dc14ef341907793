"""Names of folders: readable, and short enough for every file system."""

from josh.runs.record.folder import slug


def test_what_a_folder_cannot_have_becomes_a_dash():
    assert slug("hf:models/tiny+a b") == "hf-models-tiny-a-b"


def test_a_name_that_is_too_long_keeps_its_end_and_stays_distinct(tmp_path):
    for letter in ("a", "é", "中"):
        long, other = (slug(f"hf:{first}{letter * 300}/adapters/dpo") for first in "xy")
        assert long.endswith("adapters-dpo")
        assert long != other
        assert slug(long) == long
        (tmp_path / long).mkdir()
    assert slug("n" * 240) == "n" * 240
