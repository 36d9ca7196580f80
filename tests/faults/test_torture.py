"""Mixed calls, callers who leave, an upstream that fails, kills: bill and ledger agree at the end.

The long run is `python -m bench.torture`.
"""

import contextlib
from pathlib import Path

from tests.faults.audit import Books, audit, unbalanced
from tests.faults.errands import draw
from tests.faults.process import TRIES_MAX
from tests.faults.settling import settle_all
from tests.faults.storm import Storm, TortureProcess
from tests.s3 import S3
from tests.upstream.fake import FakeUpstream

SEED = 1
CALLS = 100
KILLS = 4


def test_bill_and_ledger_agree(ledger_url: str, upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.end_jobs("Ready")
    retention_s = 0 if ledger_url.startswith("sqlite") else 86_400

    def new_gateway() -> TortureProcess:
        return TortureProcess(tmp_path, upstream, ledger_url, retention_s=retention_s)

    with contextlib.closing(Books(ledger_url)) as books:
        storm = Storm(new_gateway, upstream, books, SEED)
        gateway = storm.run(draw(SEED, CALLS), KILLS)
        with contextlib.ExitStack() as stack:
            stack.callback(gateway.__exit__)
            not_kept = () if retention_s else storm.course.delivered
            verdict = audit(
                upstream.bill, books, storm.course.reached, gateway.port, not_kept=not_kept
            )
            assert verdict.faults == []
            settle_all(upstream.bill, books, f"http://127.0.0.1:{gateway.port}", tmp_path)
            assert books.number("SELECT sum(cost_e10) FROM attempts") == verdict.billed_e10
            assert list(unbalanced(books)) == []
    assert verdict.posts > CALLS / 2
    assert storm.course.arrived
    assert not [line for line in storm.course.output if "Traceback" in line]


def test_images_reach_the_bucket_over_kills(s3: S3, upstream: FakeUpstream, tmp_path: Path) -> None:
    s3.create()
    upstream.end_jobs("Ready")
    url = f"sqlite:///{tmp_path}/ledger.db"

    def new_gateway() -> TortureProcess:
        return TortureProcess(tmp_path, upstream, url, assets=s3.config)

    with contextlib.closing(Books(url)) as books:
        storm = Storm(new_gateway, upstream, books, SEED)
        gateway = storm.run(draw(SEED, CALLS), KILLS)
        with contextlib.ExitStack() as stack:
            stack.callback(gateway.__exit__)
            for _ in range(TRIES_MAX):
                gateway.turn()
                if not books.number("SELECT count(*) FROM assets WHERE object = ''"):
                    break
            assert not books.number("SELECT count(*) FROM assets WHERE object = ''")
            verdict = audit(upstream.bill, books, storm.course.reached, gateway.port)
    assert verdict.faults == []
    assert verdict.images > CALLS / 4
    assert len(s3.names()) >= verdict.images
