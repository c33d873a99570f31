"""Patches: a program as what a zstd frame adds to an older one, which is its prefix (``zstd --patch-from``).

Old and new content are in memory as a whole while a patch is made or applied, which bounds what is patched.
"""

from __future__ import annotations

import zstandard

from installer.bundle.errors import IntegrityError

MOST_BYTES = 256 * 1024 * 1024
"""The largest content that is patched, or patched from; a kubelet has 77 MB."""
MOST_WINDOW_BYTES = 2 * MOST_BYTES


def apply(old: bytes, patch: bytes, size_bytes: int) -> bytes:
    """What ``patch`` makes of ``old``; :class:`IntegrityError` unless it says and gives ``size_bytes``."""
    try:
        declared = zstandard.get_frame_parameters(patch).content_size
        if declared != size_bytes or size_bytes > MOST_BYTES:
            raise IntegrityError("a patch is for another size", wanted=f"{size_bytes} bytes", got=f"{declared} bytes")
        prefix = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        decompressor = zstandard.ZstdDecompressor(dict_data=prefix, max_window_size=MOST_WINDOW_BYTES)
        return decompressor.decompress(patch, max_output_size=size_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError("a patch does not fit", got=f"bytes that do not decompress ({error})") from None
