"""From a YAML file, the environment or a few keywords to `Settings`: plain, checked values.

Here belongs what reads, checks and resolves a configuration. `load` alone reads files and the
environment, `source` turns YAML into values that know their lines, `schema` is the shape on one
page, `resolve` makes deployments of it. Nothing here opens a socket or runs a call.
"""
