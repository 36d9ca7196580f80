"""Signed urls: one image, one time, one key."""

import stat
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from imagegate.assets.links import KEY_FILE, Links, open_links, suffix_of

NOW_S = 1_800_000_000.0
LINKS = Links(b"k" * 32)


def parts_of(links: Links, asset_id: str = "img_1", **options: float) -> tuple[str, str, str]:
    expires_at = options.get("expires_at", NOW_S + 60)
    url = urlsplit(links.path_of(asset_id, "image/png", expires_at=expires_at))
    query = parse_qs(url.query)
    return url.path, query["expires"][0], query["signature"][0]


def test_a_url_is_valid_until_it_expires() -> None:
    path, expires, signature = parts_of(LINKS)
    assert path == "/v1/images/assets/img_1.png"
    assert LINKS.is_valid("img_1", expires, signature, now_s=NOW_S)
    assert not LINKS.is_valid("img_1", expires, signature, now_s=NOW_S + 60)


def test_it_is_bound_to_image_time_and_key() -> None:
    _, expires, signature = parts_of(LINKS)
    later = str(int(expires) + 1)
    assert not LINKS.is_valid("img_2", expires, signature, now_s=NOW_S)
    assert not LINKS.is_valid("img_1", later, signature, now_s=NOW_S)
    assert not Links(b"j" * 32).is_valid("img_1", expires, signature, now_s=NOW_S)


@given(expires=st.text(max_size=12), signature=st.text(max_size=70))
def test_what_was_not_signed_is_refused(expires: str, signature: str) -> None:
    assert not LINKS.is_valid("img_1", expires, signature, now_s=0)


def test_the_key_is_drawn_once_and_read_by_us_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    _, expires, signature = parts_of(open_links(str(folder)))
    assert open_links(str(folder)).is_valid("img_1", expires, signature, now_s=NOW_S)
    key = folder / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]
    assert not open_links(str(tmp_path / "other")).is_valid(
        "img_1", expires, signature, now_s=NOW_S
    )


def test_the_key_of_a_secret_is_the_same_everywhere(tmp_path: Path) -> None:
    one, other = (str(tmp_path / name) for name in ("one", "other"))
    _, expires, signature = parts_of(open_links(one, "a secret of ours"))
    assert open_links(other, "a secret of ours").is_valid("img_1", expires, signature, now_s=NOW_S)
    assert not open_links(one, "another secret").is_valid("img_1", expires, signature, now_s=NOW_S)
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_is_that_of_the_bytes() -> None:
    types = ("image/png", "image/jpeg", "image/webp", "image/svg+xml", "text/html")
    assert [suffix_of(kind) for kind in types] == ["png", "jpg", "webp", "svg", "bin"]
