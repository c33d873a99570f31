"""How fast and how large: measured beside the tools that move the same bytes (``make bench``)."""
