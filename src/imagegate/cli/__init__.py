"""The command line: one command a file, plus what they share for people and for machines.

`app.py` knows the commands and imports each one only when it is called, so that `imagegate
version` starts fast. Nothing here talks to an upstream: commands use the client or the gateway.
"""
