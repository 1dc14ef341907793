"""The notes of a loop's stages on disk."""

import json

import pytest

from josh.runs.loop.jobs import noted
from josh.runs.loop.plan import Stage


@pytest.mark.parametrize("key", ["result", "told"])
def test_the_note_of_a_stage_is_read_under_its_name_of_earlier_versions(tmp_path, key):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "train-1.json").write_text(json.dumps({key: "9 rows", "seconds": 2.0, "rows": 9}))
    note = {"result": "9 rows", "seconds": 2.0, "rows": 9}
    assert noted(tmp_path, Stage("train-1", "train")) == note
    assert noted(tmp_path, Stage("train-2", "train")) == {}
