"""What takes minutes: hundreds of kills and of disturbed builds, and a bundle of 30 GiB. Part of `make e2e`."""
