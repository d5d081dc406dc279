"""Protocols over frozen features: kNN, linear probe, probes of time, a table of embeddings."""
