"""Bytes of images: in flight (`spool`, `journal`), checked, kept (`store`), drawn (`draw`).

Only this package looks into a `Blob`'s source. Pixels are decoded in a worker process alone.
"""
