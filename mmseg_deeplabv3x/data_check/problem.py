"""What is wrong with which file."""

from typing import NamedTuple

MISSING = 'missing'  # the kind of a file, folder or list that does not exist


class Problem(NamedTuple):
    """One thing that is wrong."""

    split: str  # where it was found, such as 'train'
    kind: str  # one or two words for it, to count by
    file: str  # the file, folder or list that it is about
    message: str  # one sentence that names the file and says what would be right
    info: dict | None = None  # mmseg's annotation of the image, where it is about one

    @property
    def is_missing_file(self) -> bool:
        """Whether one image or mask is missing, not a list or a folder."""
        return self.kind == MISSING and self.info is not None


def by_kind(problems: list[Problem]) -> dict[str, list[Problem]]:
    """Problems of each kind, in the order in which the kinds come."""
    kinds = {problem.kind: [] for problem in problems}
    for problem in problems:
        kinds[problem.kind].append(problem)
    return kinds
