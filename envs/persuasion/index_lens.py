"""A lens for `josh acts`: the 15 rhetorical dimensions of Persuasion Index (arXiv:2606.14580), an independent reader.

It needs the package `persuasion-index` (`pip install 'josh-dialogue[lens]'`). Each dimension is the mean of its
features, from 0 to 1. Features whose further resources are missing keep a fixed value, the same for all siblings.
"""

import os
from collections.abc import Mapping, Sequence

from josh.errors import UsageError


class IndexLens:
    """Scores texts by the dimensions of Persuasion Index."""

    def __init__(self) -> None:
        """Raises UsageError where the package is missing."""
        os.environ.setdefault("PI_QUIET_OPTIONAL_WARNINGS", "1")
        try:
            from persuasion_index import score_batch
        except ImportError as error:
            raise UsageError(
                f"lens 'persuasion-index' needs its package ({error}); install it: pip install persuasion-index"
            ) from None
        self._score = score_batch
        self._known: dict[str, Mapping[str, float]] = {}

    def read(self, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        """Returns the dimensions of each text, by name; all 0 for an empty text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known and text.strip()]
        if new:
            _, dimensions = self._score(new)
            for text, row in zip(new, dimensions.to_dict("records"), strict=True):
                named = {str(name).removesuffix(".mean"): number for name, number in row.items()}
                self._known[text] = {name: round(float(number), 6) for name, number in named.items()}
        return [self._known.get(text, {}) for text in texts]
