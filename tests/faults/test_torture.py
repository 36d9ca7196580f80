"""Mixed calls, callers who leave, an upstream that fails, kills: bill and ledger agree at the end.

The long run is `python -m bench.torture`.
"""

from pathlib import Path

import pytest

from tests.faults.audit import Books, audit, unbalanced
from tests.faults.errands import draw
from tests.faults.settling import settle_all
from tests.faults.storm import Storm, TortureProcess
from tests.upstream.fake import FakeUpstream

CALLS = 100
KILLS = 4


@pytest.mark.parametrize("seed", [1])
def test_bill_and_ledger_agree(
    seed: int, ledger_url: str, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.end_jobs("Ready")
    storm = Storm(lambda: TortureProcess(tmp_path, upstream, ledger_url), upstream, seed)
    gateway = storm.run(draw(seed, CALLS), KILLS)
    books = Books(ledger_url)
    try:
        verdict = audit(upstream.bill, books, storm.course.reached, gateway.port)
        assert verdict.faults == []
        settle_all(upstream.bill, books, f"http://127.0.0.1:{gateway.port}", tmp_path)
        assert books.number("SELECT sum(cost_e10) FROM attempts") == verdict.billed_e10
        assert list(unbalanced(books)) == []
    finally:
        books.close()
        gateway.__exit__()
    assert verdict.posts > CALLS / 2
    assert storm.course.reached
    assert not [line for line in storm.course.output if "Traceback" in line]
