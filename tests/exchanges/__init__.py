"""Whole conversations with upstreams, one a file: `<provider>/<operation>_<case>.json`.

`case.py` says what a file holds and which cases each provider must have, `play.py` plays one to
its adapter, `official.py` holds it against the provider's own SDK.
"""
