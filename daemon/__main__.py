"""`python -m daemon` is `sensorium`."""

from daemon.cli import main

main()
