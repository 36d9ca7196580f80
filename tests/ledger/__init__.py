"""The ledger's tests; `rows` builds what they write."""
