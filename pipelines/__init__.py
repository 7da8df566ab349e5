"""The stream: packets, event time, windows, channels, stages, store and search. numpy and the standard library only."""
