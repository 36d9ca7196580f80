"""Bytes and JSON of the APIs that we speak, both ways. Pure: no I/O, no clock, no chance."""
