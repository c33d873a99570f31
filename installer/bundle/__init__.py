"""The bundle format, shared by both sides: digests, descriptors, the index, references, reading and verifying."""
