"""What we know about models: facts with source and date, and what follows from them. Pure.

`models/*.toml` is the source of truth, one file a surface; `rows.py` reads it into `model.py`'s
rows. `check.py` says what a model takes, `geometry.py` which sizes there are, `price.py` what it
costs. `known_models.py` is generated from the rows. Nothing here knows a provider's wire.
"""
