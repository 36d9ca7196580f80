"""Who has to fix a failure, what to do next, and how sure that is.

    paste.py        pasted text (error, JSON, curl transcript, exception) -> Observation
    facts.py        Observation -> facts: sets of words that stand under a name
    rules.toml      facts -> who spoke, and why: the knowledge, as tables
    explain.py      the engine: first who spoke, then why; pure
    our_errors.py   the finding for an error of our own tree

Structure (status, codes, headers, host, fields) goes before words. What no rule knows is
`undecided`, with the next free probe.
"""
