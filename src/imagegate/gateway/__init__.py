"""HTTP in: the routes, who may use them, how bodies are read and answers written.

One resource a file. The image routes are a plain ASGI callable, because that is the hot path;
Starlette serves the rest. Nothing here decides about a call: `pipeline.py` does.
"""
