"""Use a running gateway (`make run`) with the official OpenAI client: pip install openai."""

import base64
import os
from pathlib import Path

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("IMAGEGATE_URL", "http://127.0.0.1:4000") + "/v1",
    api_key=os.environ.get("IMAGEGATE_KEY", "any"),
)
model = os.environ.get("IMAGEGATE_MODEL", "gpt-image-2")

answer = client.images.with_raw_response.generate(
    model=model, prompt="a red circle", size="1024x1024"
)
image = answer.parse().data[0]
Path("circle.png").write_bytes(base64.b64decode(image.b64_json))
print("circle.png, cost", answer.headers.get("x-imagegate-cost"), "USD")
