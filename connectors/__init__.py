"""The outside world: one file per source, per sink, and the recording format between them."""
