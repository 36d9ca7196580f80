"""What may go in and what may come out: one kind of check a file, `KINDS` in `guards.py`.

`words` and `sensitive` look at texts and touch nothing else; `openai_moderation` and `http_check`
ask a service, and are exchanges like a provider's; `python_class` calls an operator's own object.
Nothing that a caller sends is ever executed or rendered as a template.
"""
