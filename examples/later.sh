#!/bin/sh -eu
# Ask a running gateway for an image, hang up, follow the call, and fetch the image.
gateway=${IMAGEGATE_URL:-http://127.0.0.1:4000}
key=${IMAGEGATE_KEY:-any}

location=$(
    curl -sS --fail-with-body -o /dev/null -D - "$gateway/v1/images/generations" \
        -H "Authorization: Bearer $key" -H "Content-Type: application/json" \
        -H "Prefer: respond-async" -H "Idempotency-Key: red-circle-1" \
        -d '{"model": "gpt-image-2", "prompt": "a red circle", "size": "1024x1024"}' |
        tr -d '\r' | sed -n 's/^location: //p'
)
curl -sSN --fail-with-body -H "Authorization: Bearer $key" "$gateway$location/events"
curl -sS --fail-with-body -H "Authorization: Bearer $key" -o circle.png \
    "$gateway$location/images/0"
