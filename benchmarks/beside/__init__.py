"""What is measured from outside: the whole program, and other engines beside ours."""
