"""What a deployment's requests have in common is worked out once, unless it changes."""

from imagegate.config.settings import Credential, CredentialKind, Deployment
from imagegate.providers import provider_for
from imagegate.transport.lane import LANES_MAX, Lanes
from imagegate.types import Secret
from imagegate.wire.provider import Target

OWN = {"X-Subscription": Secret("subscription-1")}


def deployment(credential: Credential) -> Deployment:
    provider = provider_for("openai")
    assert provider
    return Deployment(
        id="d",
        group="img",
        provider=provider,
        target=Target("https://api.openai.com/v1", "gpt-image-2"),
        credential=credential,
        headers={"x-team": "art"},
    )


def test_a_known_credential_is_revealed_once() -> None:
    lanes, one = Lanes(), deployment(Credential("bearer", Secret("sk-test-0123"), headers=OWN))
    lane = lanes.of(one)
    assert lane.headers == {
        "x-team": "art",
        "X-Subscription": "subscription-1",
        "authorization": "Bearer sk-test-0123",
    }
    assert lane.mask
    assert lane.mask.hide(b"sk-test-0123 subscription-1") == b"************ **************"
    assert lanes.of(one) is lane


def test_what_is_fetched_or_signed_each_time_is_not_kept() -> None:
    kinds: tuple[CredentialKind, ...] = ("entra", "google", "sigv4")
    fetched = [Credential(kind, Secret("s")) for kind in kinds]
    for credential in (*fetched, Credential("bearer", token_provider=lambda: "token")):
        lane = Lanes().of(deployment(credential))
        assert (lane.headers, lane.mask) == (None, None)


def test_deployments_of_the_same_id_have_their_own_lanes() -> None:
    lanes = Lanes()
    made = [deployment(Credential("api-key", Secret(f"k-{i}"))) for i in range(LANES_MAX + 1)]
    found = [lanes.of(one).headers for one in made]
    assert [headers and headers["api-key"] for headers in found] == [
        f"k-{i}" for i in range(LANES_MAX + 1)
    ]
