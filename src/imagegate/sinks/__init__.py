"""Receivers of closing events, one kind a file. No call ever waits for one.

`log` and the numbers for Prometheus are always on and only count and format. Every other receiver
has an outlet (`outlet.py`): a bounded queue and a task of its own. A receiver that is slow, dead or
broken loses its own events, which is a counter, and costs calls nothing.
"""
