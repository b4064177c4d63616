"""What is wrong with which file."""

from typing import NamedTuple

MISSING = 'missing'  # the kind of a file, folder or list that does not exist


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        split: Where it was found, such as 'train'.
        kind: One or two words for it, to count by.
        file: The file, folder or list that it is about.
        message: One sentence that names the file and says what would be right.
        info: mmseg's annotation of the image, where it is about one.
    """

    split: str
    kind: str
    file: str
    message: str
    info: dict | None = None
