"""Images that a guardrail holds move to the bucket too, apart; a review reads them from there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegate.config.load import load_settings
from tests.gateway.running import RunningGateway
from tests.gateway.test_bucket import wait_moved
from tests.guardrails.test_held import HOLDS, MASTER, MASTER_KEY, OWN, Review
from tests.s3 import PREFIX, S3


@pytest.fixture
def review(config, s3: S3, tmp_path: Path) -> Iterator[Review]:
    (tmp_path / "my_guards.py").write_text(HOLDS)
    file = config(OWN)
    text = file.read_text().replace(f"{tmp_path}/data}}", f"{tmp_path}/data{s3.create().config}}}")
    file.write_text(f"general_settings: {{master_key: {MASTER_KEY}}}\n{text}")
    with RunningGateway(load_settings(str(file))) as gateway:
        yield Review(gateway)


def test_what_is_held_is_held_in_the_bucket_until_it_is_released(
    review: Review, s3: S3, tmp_path: Path
) -> None:
    call_id = review.call(n=2)
    wait_moved(review.gateway, tmp_path)
    first, second = (one["id"] for one in review.held())
    assert set(s3.names()) == {f"{PREFIX}/held/{one}.png" for one in (first, second)}
    assert review.told(call_id)["images"] == []
    assert review.signed(first).error["code"] == "image_not_found"

    seen = review.gateway.get(f"/admin/held/{first}", **MASTER)
    assert seen.body == s3.read(f"{PREFIX}/held/{first}.png")[0]
    assert review.release(first).status == 200
    assert review.gateway.request("DELETE", f"/admin/held/{second}", headers=MASTER).status == 200
    assert review.signed(first).body == seen.body
    wait_moved(review.gateway, tmp_path)
    assert s3.names() == [f"{PREFIX}/{first}.png"]
    assert review.signed(first).body == seen.body
    assert len(review.ask(n=2).json()["data"]) == 1
