"""What attached files are. Imports nothing but the standard library: the decoding children read it too."""
