"""What `doctor` finds out on the way to a provider (P1): name, connection, TLS, clock, incidents.

Pure: answers in, judgements out.
"""

from collections.abc import Sequence

from imagegate.diagnosis.checkup import Step
from imagegate.diagnosis.status_page import Incident
from imagegate.transport.reach import Reached

CLOCK_OFF_S_MAX = 300.0
_NETWORK_EXIT = 15
_WAY = "name, connection, TLS"
_PAGE = "status page"
_HURDLES = {
    "name": ("its name is not resolved", "getent hosts {host}; check api_base, DNS and proxies."),
    "connection": (
        "nothing listens there, or a firewall is between",
        "curl -sv {url} -o /dev/null; in a container, localhost is the container itself.",
    ),
    "tls": (
        "the TLS handshake fails",
        "openssl s_client -connect {host}:{port}; a company's own CA belongs in SSL_CERT_FILE.",
    ),
    "proxy": ("the proxy cannot be reached", "Correct HTTPS_PROXY, or put the host in NO_PROXY."),
}


def judge_reach(reached: Reached, url: str) -> Step:
    """Return whether name, connection and TLS work."""
    if not reached.hurdle:
        return Step(
            probe="P1",
            title=_WAY,
            state="ok",
            elapsed_s=reached.elapsed_s,
            phases_s=reached.phases_s,
        )
    what, remedy = _HURDLES[reached.hurdle]
    return Step(
        probe="P1",
        title=_WAY,
        state="fault",
        text=f"{reached.host}:{reached.port} cannot be reached: {what} ({reached.reason}).",
        next=remedy.format(host=reached.host, port=reached.port, url=url),
        owner="network",
        exit_code=_NETWORK_EXIT,
        elapsed_s=reached.elapsed_s,
        phases_s=reached.phases_s,
    )


def judge_clock(offset_s: float) -> Step | None:
    """Return a fault where this host's clock is off; tokens and signatures fail then."""
    if abs(offset_s) <= CLOCK_OFF_S_MAX:
        return None
    direction = "behind" if offset_s > 0 else "ahead of"
    return Step(
        probe="P1",
        title="clock",
        state="fault",
        text=f"This host's clock is {abs(offset_s):.0f} s {direction} the provider's.",
        next="timedatectl; switch NTP on. Signed requests and tokens fail until then.",
        owner="network",
        exit_code=_NETWORK_EXIT,
    )


def judge_incidents(
    incidents: Sequence[Incident] | None, provider: str, url: str
) -> tuple[Step, ...]:
    """Return what a provider's status page tells; that it tells nothing is told as well."""
    if incidents is None:
        text = f"{url} gives no list of incidents."
        return (Step(probe="P1", title=_PAGE, state="unclear", text=text),)
    if not incidents:
        return (Step(probe="P1", title=_PAGE, state="ok", text="It tells of no incident."),)
    return tuple(
        Step(
            probe="P1",
            title=_PAGE,
            state="warning",
            text=f"{provider} tells of an incident: {incident.text}.",
            next=f"Wait for its end before you change anything: {incident.url or url}",
            owner="provider",
        )
        for incident in incidents
    )
