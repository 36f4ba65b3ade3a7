"""What people see: text, cards in HTML, pictures, progress.

Nothing here knows more of an object than what it is given, and nothing here does I/O. `plain` makes text,
`markup` makes HTML in which all that is not markup is escaped, `cards` puts both together, `picture` draws
numbers as SVG, and `progress` shows a bar.
"""

from bridge.display.plain import (
    catalogue_text,
    entry_text,
    lines,
    list_text,
    nbytes_text,
    parse_nbytes,
    seconds_text,
    shape_text,
    signature_text,
    table_text,
    text,
)
from bridge.display.progress import Progress, progress_bar

__all__ = [
    "Progress",
    "catalogue_text",
    "entry_text",
    "lines",
    "list_text",
    "nbytes_text",
    "parse_nbytes",
    "progress_bar",
    "seconds_text",
    "shape_text",
    "signature_text",
    "table_text",
    "text",
]
