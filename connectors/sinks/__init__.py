"""Sinks: each makes batches of records durable somewhere else, in order, or says why it could not."""
