"""Looks at every file of a collection: what is bad and why, how long, how large, what is double."""
