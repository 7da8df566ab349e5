"""What makes the numbers and weights that the library ships."""
