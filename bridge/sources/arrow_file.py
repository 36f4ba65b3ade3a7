"""Arrow files (``.arrow``, and ``.feather`` of version 2): record batches that can be found one by one.

The messages of an Arrow file are those of an Arrow stream. So where batches are not compressed, an answer
of whole batches is made of ranges of the file, and the file is never loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge import selection
from bridge.codecs import ALIGNMENT, Encoded
from bridge.codecs.flatbuffers import field_at, follow, read_number
from bridge.codecs.ipc import END_OF_STREAM
from bridge.selection import TableSelection
from bridge.sources import Source
from bridge.sources.files import FileRange, OpenFile, reading
from bridge.sources.tables import OpenTable, Piece, ScannedTable, TableReader, random_access

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_source"]

MAGIC = b"ARROW1"
# At the end: the length of the footer, and the magic bytes again.
TAIL = 4 + len(MAGIC)
# What a message begins with since version 0.15 of Arrow.
CONTINUATION = b"\xff\xff\xff\xff"

# The type of a message that holds a dictionary.
DICTIONARY = 2

# Fields of the tables Footer, Message, RecordBatch and DictionaryBatch.
_FOOTER_DICTIONARIES = 2
_FOOTER_BATCHES = 3
_MESSAGE_TYPE = 1
_MESSAGE_HEADER = 2
_BATCH_LENGTH = 0
_BATCH_COMPRESSION = 3
_DICTIONARY_DATA = 1
_DICTIONARY_IS_DELTA = 2


def arrow_source(open_file: Callable[[], OpenFile]) -> Source:
    """Return the source of an Arrow file."""

    def open_table() -> OpenTable:
        file = open_file()
        with reading(file):
            return _ArrowFile(file)

    return TableReader(open_table)


class _Block(NamedTuple):
    """Where a message is, and what it says."""

    start: int
    nbytes: int
    num_rows: int
    plain: bool  # can be sent as it is


class _ArrowFile:
    def __init__(self, file: OpenFile) -> None:
        import pyarrow.dataset as ds

        self._file = file
        dictionaries, batches = _blocks(file)
        self._dictionaries = dictionaries
        self._batches = batches
        self._starts = list(accumulate((b.num_rows for b in batches), initial=0))
        fragment = ds.IpcFileFormat().make_fragment(random_access(file))
        schema = fragment.physical_schema
        scanned = ScannedTable(
            version=file.version,
            schema=schema,
            dataset=lambda: ds.FileSystemDataset([fragment], schema, ds.IpcFileFormat()),
            pieces=[Piece(b.num_rows, partial(self._batch, i)) for i, b in enumerate(batches)],
            nbytes=sum(block.nbytes for block in batches),
            guard=partial(reading, file),
        )
        self.version = scanned.version
        self.schema = scanned.schema
        self.num_rows = scanned.num_rows
        self.nbytes = scanned.nbytes
        self._scanned = scanned

    def lazily(self, wanted: TableSelection) -> Encoded | None:
        if wanted.filters is not None or wanted.columns not in (None, self.schema.names):
            return None
        rows = range(self.num_rows)[wanted.rows or slice(None)]
        if rows.step != 1 or rows.start not in self._starts or rows.stop not in self._starts:
            return None
        first = self._starts.index(rows.start)
        last = first if not rows else len(self._starts) - 1 - self._starts[::-1].index(rows.stop)
        if len(rows) == self.num_rows:
            first, last = 0, len(self._batches)  # those without rows too
        blocks = [*self._dictionaries, *self._batches[first:last]]
        if not all(block.plain for block in blocks):
            return None
        schema = memoryview(self.schema.serialize())
        ranges = [FileRange(self._file, start, nbytes) for start, nbytes in _joined(blocks)]
        buffers = [schema, *ranges, memoryview(END_OF_STREAM)]
        return Encoded({"kind": "table", "rows": len(rows), "streams": [len(buffers)]}, buffers)

    def plan(self, wanted: TableSelection) -> selection.Plan[pa.Table]:
        return self._scanned.plan(wanted)

    def _batch(self, number: int, columns: list[str]) -> Iterator[Any]:
        import pyarrow as pa

        places = [self.schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=places)
        with pa.ipc.open_file(random_access(self._file), options=options) as reader:
            batch = reader.get_batch(number)
        yield batch.select(columns)  # which are read in the order of the file


def _blocks(file: OpenFile) -> tuple[list[_Block], list[_Block]]:
    """Return where the dictionaries and the record batches of a file are, by its footer."""
    if file.nbytes < 2 * len(MAGIC) + TAIL or file.read(0, len(MAGIC)) != MAGIC:
        raise ValueError("it is no Arrow file")
    tail = file.read(file.nbytes - TAIL, TAIL)
    length = read_number("<i", tail, 0)
    if not tail.endswith(MAGIC) or not 0 < length <= file.nbytes - TAIL:
        raise ValueError("it has no footer: it was not written to the end")
    footer = file.read(file.nbytes - TAIL - length, length)
    try:
        root = read_number("<I", footer, 0)
        return (
            [_block(file, *place) for place in _places(footer, root, _FOOTER_DICTIONARIES)],
            [_block(file, *place) for place in _places(footer, root, _FOOTER_BATCHES)],
        )
    except struct.error as exc:
        raise ValueError(f"its footer is broken: {exc}") from exc


def _places(footer: bytes, root: int, field: int) -> Iterator[tuple[int, int, int]]:
    """Yield offset, length of the metadata, and length of the body of each message of a kind."""
    if field_at(footer, root, field) is None:
        return
    vector = follow(footer, root, field)
    for i in range(read_number("<I", footer, vector)):
        at = vector + 4 + 24 * i
        yield (
            read_number("<q", footer, at),
            read_number("<i", footer, at + 8),
            read_number("<q", footer, at + 16),
        )


def _block(file: OpenFile, start: int, metadata_nbytes: int, body_nbytes: int) -> _Block:
    nbytes = metadata_nbytes + body_nbytes
    if min(start, metadata_nbytes, body_nbytes) < 0 or start + nbytes > file.nbytes:
        raise ValueError("its footer points behind its end: it was not written to the end")
    message = file.read(start, metadata_nbytes)
    plain = message.startswith(CONTINUATION)
    metadata = message[8 if plain else 4 :]
    header = follow(metadata, read_number("<I", metadata, 0), _MESSAGE_HEADER)
    batch = header
    if _is_dictionary(metadata):  # which holds a record batch of one column
        delta = field_at(metadata, header, _DICTIONARY_IS_DELTA)
        plain &= delta is None or not read_number("<B", metadata, delta)
        batch = follow(metadata, header, _DICTIONARY_DATA)
    at = field_at(metadata, batch, _BATCH_LENGTH)
    num_rows = 0 if at is None else read_number("<q", metadata, at)
    plain &= field_at(metadata, batch, _BATCH_COMPRESSION) is None
    plain &= not any(n % ALIGNMENT for n in (start, metadata_nbytes, body_nbytes))
    return _Block(start, nbytes, num_rows, plain)


def _is_dictionary(metadata: bytes) -> bool:
    at = field_at(metadata, read_number("<I", metadata, 0), _MESSAGE_TYPE)
    return at is not None and read_number("<B", metadata, at) == DICTIONARY


def _joined(blocks: list[_Block]) -> Iterator[tuple[int, int]]:
    """Yield start and length of the ranges that the blocks make, where those follow each other."""
    start = end = None
    for block in blocks:
        if block.start != end:
            if start is not None and end is not None:
                yield start, end - start
            start = block.start
        end = block.start + block.nbytes
    if start is not None and end is not None:
        yield start, end - start
