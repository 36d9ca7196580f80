"""Ask a running gateway for an image, hang up, and come back for it: pip install openai."""

import base64
import os
from pathlib import Path
from typing import Any

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("IMAGEGATE_URL", "http://127.0.0.1:4000") + "/v1",
    api_key=os.environ.get("IMAGEGATE_KEY", "any"),
)
model = os.environ.get("IMAGEGATE_MODEL", "gpt-image-2")

# The key makes it safe to send this again: the same call is found, and nothing is bought twice.
asked = client.images.with_raw_response.generate(
    model=model,
    prompt="a red circle",
    size="1024x1024",
    extra_headers={"Prefer": "respond-async", "Idempotency-Key": "red-circle-1"},
)
call_id = asked.headers["x-imagegate-call-id"]
print(asked.status_code, call_id)

call: dict[str, Any] = {"state": "running"}
while call["state"] == "running":  # each round waits for up to a minute
    wait = {"headers": {"Prefer": "wait=60"}}
    call = client.get(f"/images/calls/{call_id}", cast_to=dict[str, Any], options=wait)
print(f"{call['state']}, cost {call['cost']} USD")
Path("circle.png").write_bytes(base64.b64decode(call["result"]["data"][0]["b64_json"]))
