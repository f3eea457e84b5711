"""Pictures along time as tiles: the page decodes those in sight, and one of the whole from afar.

A tile is a PNG of bytes, one row of it for each row of the picture and one column for each step of
time. The page gives the bytes their colours, so that light and dark are one file, and reads the
values back from them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

TILE_SECONDS = 30.0  # of a tile
OVERVIEW_COLUMNS = 4096  # of the tile of the whole; a screen has fewer
MOST_IN_SIGHT = 6  # tiles that the page draws at once; of more it draws the overview
QUALITY = 55  # of WebP, for spectrograms


@dataclass(frozen=True)
class Tiles:
    """A picture along time, in tiles.

    Attributes:
        rows: of the picture.
        columns_per_second: of the tiles, but not of the overview.
        start: time of the first column, seconds.
        columns: of all tiles together.
        images: files of the tiles, some ``TILE_SECONDS`` each.
        overview: file of the whole, in ``overview_columns`` columns; None where one tile is all.
        overview_columns: of the overview.
        kind: MIME type of the files.
    """

    rows: int
    columns_per_second: float
    start: float
    columns: int
    images: tuple[bytes, ...]
    overview: bytes | None
    overview_columns: int
    kind: str

    def describe(self, name: str) -> dict[str, Any]:
        """Return what the page needs to know; the files are ``name-0``, ``name-1`` …"""
        return {
            "name": name,
            "rows": self.rows,
            "columnsPerSecond": self.columns_per_second,
            "start": self.start,
            "columns": self.columns,
            "tileSeconds": tile_columns(self.columns_per_second) / self.columns_per_second,
            "tiles": len(self.images),
            "overviewColumns": self.overview_columns if self.overview else 0,
            "mostInSight": MOST_IN_SIGHT,
            "kind": self.kind,
        }

    def files(self, name: str) -> Iterable[tuple[str, bytes]]:
        """Yield the names and bytes of the files."""
        for number, data in enumerate(self.images):
            yield f"{name}-{number}", data
        if self.overview:
            yield f"{name}-overview", self.overview


def tile_columns(columns_per_second: float) -> int:
    """Return the columns of a tile."""
    return max(1, round(TILE_SECONDS * columns_per_second))


def make_tiles(
    picture: np.ndarray,
    columns_per_second: float,
    executor: Executor,
    *,
    start: float = 0.0,
    lossy: bool = False,
) -> Tiles:
    """Divide a picture into tiles.

    Args:
        picture: uint8, shape (rows, columns), the first row uppermost.
        columns_per_second: of the picture.
        executor: that encodes the tiles.
        start: time of the first column, seconds.
        lossy: whether WebP may change the bytes a little.
    """
    rows, columns = picture.shape
    width = tile_columns(columns_per_second)
    encode = _webp if lossy else _png
    parts = [picture[:, first : first + width] for first in range(0, columns, width)]
    images = executor.map(encode, parts)
    overview, overview_columns = None, 0
    if len(parts) > MOST_IN_SIGHT:
        whole = pooled(picture, OVERVIEW_COLUMNS)
        overview, overview_columns = encode(whole), whole.shape[1]
    kind = "image/webp" if lossy else "image/png"
    return Tiles(
        rows, columns_per_second, start, columns, tuple(images), overview, overview_columns, kind
    )


def pooled(picture: np.ndarray, most: int) -> np.ndarray:
    """Return a picture of at most so many columns, each the mean of as many as it stands for."""
    columns = picture.shape[1]
    if columns <= most:
        return picture
    edges = np.linspace(0, columns, most + 1).astype(int)
    sums = np.add.reduceat(picture.astype(np.float32), edges[:-1], axis=1)
    return (sums / np.diff(edges)).round().astype(np.uint8)


def _png(picture: np.ndarray) -> bytes:
    return _encoded(picture, format="PNG", compress_level=4)


def _webp(picture: np.ndarray) -> bytes:
    return _encoded(picture, format="WEBP", quality=QUALITY, method=2)


def _encoded(picture: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, **options)
    return buffer.getvalue()
