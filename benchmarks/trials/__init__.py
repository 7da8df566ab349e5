"""The parts of the longer measurements: tasks, training, judging."""
