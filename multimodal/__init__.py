"""The mind: encoders, fusion, retrieval. Knows nothing of streams."""
