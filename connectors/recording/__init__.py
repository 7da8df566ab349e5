"""Recordings: MCAP with the well-known schemas, written by a tap in front of the aligner, read back stream by stream."""
