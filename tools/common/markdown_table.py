"""Tables that read well on a terminal and as Markdown."""

from collections.abc import Iterable, Sequence

from prettytable import PrettyTable, TableStyle


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Lay out a table in Markdown, its columns aligned.

    Args:
        titles: Of the columns, no two the same.
        rows: The cells of each row.
        texts: How many of the first columns hold text, which is aligned to the left; numbers are
            aligned to the right. Default: the names of the rows alone.

    Returns:
        The table, without a line break at its end.
    """
    table = PrettyTable(titles)
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    table.align.update(dict.fromkeys(titles[:texts], 'l'))
    table.add_rows(list(rows))
    return table.get_string()
