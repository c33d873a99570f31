"""Makes patches: a program as what a zstd frame adds to the older one before it.

The zstandard package takes the old content only as a dictionary, which finds a fourteenth of what a prefix finds: of a
kubeadm, 13.1 MB against 1.0 MB. So patches are made by backports.zstd, and applied on a node by what is there.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, ZstdCompressor, ZstdDict
else:
    from backports.zstd import CompressionParameter, ZstdCompressor, ZstdDict

LEVEL = 3
"""With a prefix, 6 takes twice as long and gives larger patches: 1.2 MB of the same kubeadm."""
_LEAST_WINDOW_LOG = 20


def patch_bytes(old: bytes, new: bytes) -> bytes:
    """The patch that :func:`installer.bundle.patch.apply` makes ``new`` of ``old`` with."""
    options: dict[int, int] = {
        CompressionParameter.compression_level: LEVEL,
        CompressionParameter.window_log: max(_LEAST_WINDOW_LOG, (len(old) + len(new)).bit_length()),
        CompressionParameter.enable_long_distance_matching: 1,
        CompressionParameter.content_size_flag: 1,
        CompressionParameter.checksum_flag: 1,
    }
    compressor = ZstdCompressor(options=options, zstd_dict=ZstdDict(old, is_raw=True).as_prefix)
    compressor.set_pledged_input_size(len(new))
    return compressor.compress(new, ZstdCompressor.FLUSH_FRAME)
