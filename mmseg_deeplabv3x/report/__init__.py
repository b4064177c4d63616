"""A finished training as one page: its curves, what it confuses, and pictures that show it."""
