"""Where a call goes, and where after a fault: decisions without I/O, over scripted time and chance.

`fault` says what follows an error, `health` what is known of each deployment, `limits` what it may
take, `strategy` who comes first, and `route` puts them together.
"""
