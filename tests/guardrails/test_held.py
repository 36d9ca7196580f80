"""A held image: out of everybody's reach until an admin who looked at it releases it."""

import json
from pathlib import Path
from typing import Any

import pytest

from imagegate import clock
from imagegate.cli.app import run
from imagegate.config.load import load_settings
from tests.gateway.running import Answer, RunningGateway
from tests.upstream.fake import FakeUpstream

MASTER_KEY = "sk-0123456789abcdef-test"
MASTER = {"authorization": f"Bearer {MASTER_KEY}"}
PATH = "/v1/images/generations"
CALL = {"model": "img", "prompt": "a fox", "size": "1024x1024", "guardrails": ["held"]}
HOLDS = """
class Holds:
    def check(self, subject):
        if subject.stage == "output":
            return "hold"
"""
OWN = """
  - guardrail_name: held
    litellm_params: {guardrail: my_guards.Holds, mode: [pre_call, post_call]}
"""


class Review:
    """A gateway whose guardrail holds each image, its owner and its admin."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        made = gateway.post("/admin/keys", {"name": "owner"}, **MASTER).json()
        self.owner = {"authorization": f"Bearer {made['key']}"}

    def call(self, **fields: Any) -> str:
        """Have an image made and held; return the call's id."""
        answer = self.ask(**fields)
        assert (answer.status, answer.error["code"]) == (400, "content_policy_violation")
        return answer.headers["x-imagegate-call-id"]

    def ask(self, **fields: Any) -> Answer:
        return self.gateway.post(PATH, CALL | fields, idempotency_key="one", **self.owner)

    def held(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.gateway.get("/admin/held", **MASTER).json()["data"]
        return found

    def release(self, image: str) -> Answer:
        return self.gateway.post(f"/admin/held/{image}/release", {}, **MASTER)

    def told(self, call_id: str) -> Any:
        return self.gateway.get(f"/v1/images/calls/{call_id}", **self.owner).json()

    def signed(self, image: str) -> Answer:
        """Fetch an image by a url that was signed for it."""
        links = self.gateway.gateway.runtime.tools.links
        assert links is not None
        path = links.path_of(image, "image/png", expires_at=clock.now_s() + 600)
        return self.gateway.get(path)


@pytest.fixture
def review(config, tmp_path: Path):
    (tmp_path / "my_guards.py").write_text(HOLDS)
    file = config(OWN)
    file.write_text(f"general_settings: {{master_key: {MASTER_KEY}}}\n" + file.read_text())
    with RunningGateway(load_settings(str(file))) as gateway:
        yield Review(gateway)


def test_nobody_gets_it_before_and_its_owner_after(review: Review, upstream: FakeUpstream) -> None:
    call_id = review.call()
    (held,) = review.held()
    assert (held["call_id"], held["held_by"]) == (call_id, ["held:hold"])
    image, by_id = held["id"], f"/v1/images/calls/{call_id}/images/0"
    assert review.told(call_id)["held_count"] == 1
    assert b"imagegate_held_images 1\n" in review.gateway.get("/metrics", **MASTER).body
    assert review.signed(image).status == 404
    assert review.gateway.get(by_id, **review.owner).status == 404
    assert review.gateway.get(by_id, **MASTER).status == 404
    assert review.ask().status == 400

    seen = review.gateway.get(f"/admin/held/{image}", **MASTER)
    assert (seen.status, seen.headers["content-type"]) == (200, "image/png")
    assert seen.headers["cache-control"] == "no-store"
    assert review.release(image).json()["state"] == "released"

    told = review.told(call_id)
    assert (told["held_count"], len(told["images"])) == (0, 1)
    assert told["result"]["size"] == "1024x1024"
    assert told["result"]["usage"]["output_tokens"] > 0
    assert review.gateway.get(by_id, **review.owner).body == seen.body
    assert review.signed(image).body == seen.body
    again = review.ask()
    assert (again.status, again.headers["x-imagegate-call-id"]) == (200, call_id)
    assert again.json()["data"] == told["result"]["data"]
    assert again.json()["usage"] == told["result"]["usage"]
    assert len(upstream.bill) == 1
    assert review.held() == []
    assert b"imagegate_held_images 0\n" in review.gateway.get("/metrics", **MASTER).body
    twice = review.release(image)
    assert (twice.status, twice.error["code"]) == (404, "held_image_not_found")
    assert twice.error["imagegate"]["finding"]["rule"] == "imagegate.held_image"


def test_one_of_several_is_released_and_one_deleted(review: Review, tmp_path: Path) -> None:
    call_id = review.call(n=3)
    first, second, third = reversed(review.held())
    bytes_of = {
        one["id"]: review.gateway.get(f"/admin/held/{one['id']}", **MASTER).body
        for one in (first, second, third)
    }
    assert review.release(second["id"]).status == 200
    told = review.told(call_id)
    assert (told["held_count"], len(told["images"])) == (2, 1)
    path = told["images"][0]["path"]
    assert review.gateway.get(path, **review.owner).body == bytes_of[second["id"]]
    assert review.signed(first["id"]).status == 404

    deleted = review.gateway.request("DELETE", f"/admin/held/{first['id']}", headers=MASTER)
    assert deleted.json()["state"] == "deleted"
    assert [one["id"] for one in review.held()] == [third["id"]]
    assert review.release(third["id"]).status == 200
    assert len(review.ask(n=3).json()["data"]) == 2
    folder = tmp_path / "data" / "images"
    assert [file for file in (folder / "held").rglob("*") if file.is_file()] == []
    assert len([file for file in folder.rglob("*") if file.is_file()]) == 2


def test_a_call_whose_held_image_was_deleted_tells_its_refusal(review: Review) -> None:
    call_id = review.call()
    (held,) = review.held()
    review.gateway.request("DELETE", f"/admin/held/{held['id']}", headers=MASTER)
    assert review.told(call_id)["error"]["code"] == "content_policy_violation"
    assert review.ask().status == 400


def test_a_file_that_is_on_another_disk_is_told(review: Review, tmp_path: Path) -> None:
    review.call()
    (held,) = review.held()
    for file in (tmp_path / "data" / "images" / "held").rglob("*"):
        if file.is_file():
            file.unlink()
    assert review.release(held["id"]).error["code"] == "image_not_found"
    assert review.gateway.get(f"/admin/held/{held['id']}", **MASTER).status == 404
    assert len(review.held()) == 1


def test_who_looked_and_who_released_is_written_down(review: Review) -> None:
    review.call(n=2)
    first, second = review.held()
    review.gateway.get(f"/admin/held/{first['id']}", **MASTER)
    review.release(first["id"])
    review.gateway.request("DELETE", f"/admin/held/{second['id']}", headers=MASTER)
    found = review.gateway.get("/admin/audit", **MASTER).json()["data"]
    assert [(one["action"], one["target"]) for one in found[2::-1]] == [
        ("GET /admin/held/{id}", first["id"]),
        ("POST /admin/held/{id}/release", first["id"]),
        ("DELETE /admin/held/{id}", second["id"]),
    ]
    assert found[1]["before"]["state"] == "held"
    assert found[1]["after"]["state"] == "released"
    assert found[1]["before"]["expires_at"] < found[1]["after"]["expires_at"]
    assert found[0]["before"]["call_id"] == second["call_id"]


def test_the_owner_may_do_none_of_it(review: Review) -> None:
    review.call()
    (held,) = review.held()
    path = f"/admin/held/{held['id']}"
    for method, where in (("GET", path), ("DELETE", path), ("POST", f"{path}/release")):
        answer = review.gateway.request(method, where, b"", review.owner)
        assert (answer.status, answer.error["code"]) == (403, "not_allowed")


def test_the_command(
    review: Review,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMAGEGATE_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("IMAGEGATE_URL", review.gateway.url)
    review.call(n=2)

    def out(*command: str) -> str:
        assert run([*command]) == 0
        return capsys.readouterr().out

    first, second = json.loads(out("held", "--json"))
    assert f"{first['id']}  img          held:hold" in out("held")
    told = out("calls", "show", first["call_id"], "--gateway", review.gateway.url)
    assert "guardrail held (pre_call): allow" in told
    assert "guardrail held (post_call): hold" in told
    assert "held: 2, see `imagegate held`" in told
    file = tmp_path / "seen.png"
    assert out("held", "fetch", first["id"], "-o", str(file)).strip() == str(file)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert "state: released" in out("held", "release", first["id"])
    assert "state: deleted" in out("held", "delete", second["id"])
    assert run(["held", "release", first["id"]]) == 2
    assert "There is no held_image" in capsys.readouterr().err
    assert run(["held", "fetch", first["id"]]) == 2
    assert run(["held", "release"]) == 2
    capsys.readouterr()
    lines = out("audit", "--target", first["id"])
    assert "GET /admin/held/{id}" in lines
    assert [one["role"] for one in json.loads(out("audit", "--limit", "2", "--json"))] == [
        "admin",
        "admin",
    ]
