"""A gateway with a master key, and what an operator does with it."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.gateway.running import Answer, RunningGateway

MASTER_KEY = "sk-test-master-0123456789"
PRICE_USD = "0.0129"


class Operator:
    """Asks a gateway with one key, by default the master key."""

    def __init__(self, gateway: RunningGateway, key: str = MASTER_KEY) -> None:
        self.gateway = gateway
        self.key = key

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        import json

        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        return self.gateway.request(method, path, data, headers)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status in (200, 201), answer.body
        return answer.json()

    def holder(self, **key: Any) -> "Operator":
        """Return the holder of a new key."""
        made = self.post("/admin/keys", **{"name": "a key"} | key)
        return Operator(self.gateway, made["key"])

    def generate(self, **fields: Any) -> Answer:
        body = {"model": "img", "prompt": "a fox", "size": "1024x1024", "quality": "low"}
        return self.ask("POST", "/v1/images/generations", body | fields)


@pytest.fixture
def operator(start) -> Operator:
    return Operator(start(general=f"master_key: {MASTER_KEY}"))
