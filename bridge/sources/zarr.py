"""Zarr directories: each array is a name, and only the chunks of the selection are read. Needs zarr."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bridge.sources import Source
from bridge.sources.arrays import ArrayReader, ComputedArray, OpenArray
from bridge.sources.files import Folder, reading

__all__ = ["zarr_members"]

# Codecs and filters that compute. There is one that unpickles: a file must not be able to name it.
CODECS = frozenset(
    {
        "adler32", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset",
        "fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize", "sharding_indexed", "shuffle",
        "transpose", "vlen-utf8", "zlib", "zstd",
    }
)  # fmt: skip


def zarr_members(path: Path, *, beneath: Path | None = None, name: str = "") -> dict[str, Source]:
    """Return the sources of the arrays in a zarr directory, by their paths in it: "" is the directory.

    Parameters
    ----------
    path
        The directory.
    beneath, name
        As for `OpenFile`.
    """
    places = sorted(_arrays(path, ""))
    name = name or path.name
    return {
        place: ArrayReader(
            partial(_open_array, path / place, beneath, f"{name}/{place}".removesuffix("/"))
        )
        for place in places
    }


def _open_array(path: Path, beneath: Path | None, name: str) -> OpenArray:
    import zarr

    folder = Folder(path, beneath=beneath, name=name)
    with reading(folder):
        array = zarr.open_array(path, mode="r")
        unknown = set(_codecs(array.metadata.to_dict())) - CODECS
        if unknown:
            raise ValueError(
                f"it uses the codec {min(unknown)!r}, which is not among those that only compute"
            )
        return ComputedArray(array, version=folder.version, guard=partial(reading, folder))


def _arrays(folder: Path, place: str) -> Iterator[str]:
    """Yield the paths of the arrays in a directory, without a look at their chunks."""
    with os.scandir(folder) as items:
        names = {item.name: item.is_dir(follow_symlinks=False) for item in items}
    if ".zarray" in names or ("zarr.json" in names and not _is_group(folder / "zarr.json")):
        yield place
        return
    for name, is_folder in names.items():
        if is_folder:
            yield from _arrays(folder / name, f"{place}/{name}".removeprefix("/"))


def _is_group(path: Path) -> bool:
    try:
        metadata = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False  # what is wrong with it is said when it is opened
    return isinstance(metadata, dict) and metadata.get("node_type") == "group"


def _codecs(metadata: dict[str, Any]) -> Iterator[str]:
    """Yield the names of all codecs in the metadata of an array, also of those inside of others."""
    inside = metadata | (metadata.get("configuration") or {})
    for key in ("codecs", "index_codecs", "filters", "compressor"):
        found = inside.get(key) or ()
        for codec in found if isinstance(found, list | tuple) else (found,):
            if isinstance(codec, dict):
                yield str(codec.get("name", codec.get("id"))).removeprefix("numcodecs.")
                yield from _codecs(codec)
            else:
                yield str(getattr(codec, "codec_id", type(codec).__name__))
