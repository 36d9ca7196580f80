"""A fake upstream: a real server on loopback that speaks OpenAI's and Azure's Images API.

It fails in each way that a real one does, when a test says so, and keeps its own bill, so that a
ledger can be compared with what was really bought. `FakeUpstream` runs it in a thread;
`python -m tests.upstream --port 0` runs it as a process of its own.

How a test says what happens next: `upstream.reply("half_body")` for the next call,
`upstream.always("status:rate_limit")` for all, or marks in the prompt: `[mode=half_body]
[picture=large]`. The modes are listed in `modes.py`, the ready errors in `refusals.py`.
"""

from tests.upstream.bill import FilePart, Record
from tests.upstream.fake import FakeUpstream
from tests.upstream.pictures import picture

__all__ = ["FakeUpstream", "FilePart", "Record", "picture"]
