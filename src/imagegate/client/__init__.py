"""The Python SDK: one pipeline in the caller's own process.

What belongs here: the functions' signatures (`calls.py`), reading of inputs (`inputs.py`), the
objects that callers hold (`results.py`), and how calls get onto the private event loop. Nothing
about providers, prices or HTTP.
"""
