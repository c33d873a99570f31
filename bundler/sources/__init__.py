"""How bytes arrive on the connected side: release files over HTTP, images from registries, wheels from the index."""
