"""Sources: each turns one device, file or connection into one stream of packets."""
