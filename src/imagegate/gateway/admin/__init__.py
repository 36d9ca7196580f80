"""`/admin/...`: teams, keys, end users, budgets, calls and spend, one resource a file.

Which roles may use a route stands with the route, in `app.py`; what of it they see is part of
each question to the ledger, so that an id of others answers as one that does not exist.
"""
