"""The program: command line, configuration, composition and logs."""
