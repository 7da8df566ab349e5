"""Stages: async iterator in, async iterator out. Each is a thin shell round a pure decision."""
