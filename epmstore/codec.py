"""Zstandard, and nothing else: the only file that imports a zstd library.

Rules: every frame states its content size and carries zstd's own checksum; what comes out of a
decoder is exactly as long as the caller said it would be, and the size that a frame states is
checked before a byte is allocated, and bounded; frames may not have anything behind them. Contexts
are kept per thread.

`zstandard` does the blobs. It cannot make a frame against a prefix, so deltas are written by
`backports.zstd` (in the standard library from 3.14) and read by either.
"""

import io
import sys
import threading
from typing import IO, Any

import zstandard

from epmstore.errors import DamagedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3
DELTA_LEVEL = 3
TABLES = {"hash_log": 16, "chain_log": 16}
"""For contents: smaller than zstd's own of that level, so that they stay in the caches of a core.
An eighth of the time for two thirds of a hundredth of the size. Text full of digests would lose a
fifth by them.
"""
MAX_WINDOW_LOG = 27
STREAM_STEP = 2048
"""Compressed bytes that a stream decodes at a time: the most that they may hold fits into memory.
"""
DELTA_MAX_WINDOW = 1 << 31
LARGEST = 1 << 30
"""Plain bytes that one frame may have; a caller that expects less says so."""
LARGEST_DELTA = 128 << 20
LONG_MATCH_FROM = 1 << 19
"""Deltas of contents from this size on look for long matches; below, the tables cost more than they
find.
"""
SHORTEST_BASE = 8
"""Bytes that zstd wants of a prefix; against less a delta is a frame like any other."""


class _Contexts(threading.local):
    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.for_contents = zstandard.ZstdCompressor(compression_params=_for_contents())
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=1 << MAX_WINDOW_LOG)


def _for_contents() -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters.from_level(
        LEVEL, **TABLES, write_checksum=True, write_content_size=True
    )


_contexts = _Contexts()


def compress(data: bytes | bytearray | memoryview, level: int = LEVEL) -> bytes:
    """One frame with content size and checksum."""
    context = _contexts.compressors.get(level)
    if context is None:
        context = zstandard.ZstdCompressor(level=level, write_checksum=True)
        _contexts.compressors[level] = context
    return context.compress(data)


def compress_contents(data: bytes) -> bytes:
    """The same, quicker: for the many files of a root."""
    return _contexts.for_contents.compress(data)


def decompress(frame: bytes | memoryview, size: int) -> bytes:
    """The `size` bytes in one frame. Raises DamagedError if it is anything else."""
    _check_size(frame, size)
    try:
        data = _contexts.decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _damaged(str(error)) from None
    return _exactly(data, size)


def decompress_head(frame: bytes | memoryview, size: int, wanted: int) -> bytes:
    """At least the first `wanted` of the `size` bytes in one frame, which cost about their share of
    the whole. What lies behind them is not looked at, and zstd's checksum neither: the frame is to
    be known to be sound. Raises DamagedError.
    """
    if wanted * 4 > size * 3:  # all at once is quicker
        return decompress(frame, size)
    _check_size(frame, size)
    try:
        with _contexts.decompressor.stream_reader(frame, closefd=False) as reader:
            data = reader.read(wanted)
    except zstandard.ZstdError as error:
        raise _damaged(str(error)) from None
    return _exactly(data, wanted)


def open_stream(file: IO[bytes]) -> IO[bytes]:
    """The plain bytes of foreign frames, read as they come: sizes need not be stated, and several
    frames may follow each other. Reading raises DamagedError.
    """
    return io.BufferedReader(_Stream(file))


class _Stream(io.RawIOBase):
    """What `open_stream` gives: reads forward only, in bounded memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder: zstandard.ZstdDecompressionObj | None = None
        self._left = b""  # compressed, behind the end of a frame
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            while not self._plain and self._more():
                pass
        except zstandard.ZstdError as error:
            raise DamagedError(f"compressed data is damaged: {error}") from None
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def _more(self) -> bool:
        """Decode a little more; whether there was any."""
        data = self._left or self._file.read(STREAM_STEP)
        self._left = b""
        if not data:
            if self._decoder is not None:
                raise DamagedError("compressed data ends too early")
            return False
        if self._decoder is None:
            context = zstandard.ZstdDecompressor(max_window_size=1 << MAX_WINDOW_LOG)
            self._decoder = context.decompressobj()
        self._plain = memoryview(self._decoder.decompress(data))
        if self._decoder.eof:
            self._left = self._decoder.unused_data
            self._decoder = None
        return True


def compress_delta(data: bytes, base: bytes, level: int = DELTA_LEVEL) -> bytes:
    """One frame that can be read only with `base` at hand."""
    if len(base) < SHORTEST_BASE:
        return compress(data, level)
    span = len(base) + len(data)
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.checksum_flag: 1,
        zstd.CompressionParameter.content_size_flag: 1,
        zstd.CompressionParameter.window_log: min(max(span.bit_length(), 10), 30),
        zstd.CompressionParameter.enable_long_distance_matching: int(span >= LONG_MATCH_FROM),
    }
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix
    return zstd.compress(data, options=options, zstd_dict=prefix)


def decompress_delta(frame: bytes | memoryview, base: bytes, size: int) -> bytes:
    """The inverse of `compress_delta`. Raises DamagedError."""
    if len(base) < SHORTEST_BASE:
        return decompress(frame, size)
    if size > LARGEST_DELTA:
        raise _damaged(f"a difference may not make {size} bytes")
    _check_size(frame, size)
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    context = zstandard.ZstdDecompressor(dict_data=prefix, max_window_size=DELTA_MAX_WINDOW)
    try:
        data = context.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _damaged(str(error)) from None
    return _exactly(data, size)


def _check_size(frame: bytes | memoryview, size: int) -> None:
    try:
        stated = zstandard.get_frame_parameters(frame).content_size
    except zstandard.ZstdError as error:
        raise _damaged(str(error)) from None
    if size > LARGEST:
        raise _damaged(f"a frame may not have {size} bytes")
    if stated != size:
        raise _damaged(f"frame states {stated} bytes, {size} were recorded")


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise _damaged(f"frame holds {len(data)} bytes, {size} were recorded")
    return data


def _damaged(reason: str) -> DamagedError:
    return DamagedError(f"compressed data is damaged: {reason}", hint="run `epmstore fsck`")
