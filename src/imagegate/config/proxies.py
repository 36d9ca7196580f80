"""The proxies that the environment names."""

from collections.abc import Mapping

from imagegate.errors import ConfigError

LOOPBACK = "localhost,127.0.0.1,::1"
_ALL_HOSTS = "*"


def read_proxies(env: Mapping[str, str]) -> dict[str, str]:
    """Return a proxy's URL by the scheme that it is for, and under `no` the hosts without one.

    `https_proxy` wins over `HTTPS_PROXY`, empty means none, and this host never needs one. Raises
    `ConfigError` for a proxy that does not speak HTTP.
    """
    proxies = {scheme: url for scheme in ("http", "https") if (url := _proxy(scheme, env))}
    if not proxies:
        return {}
    none_for = _value("no_proxy", env).strip()
    hosts = none_for if none_for == _ALL_HOSTS else ",".join(filter(None, (none_for, LOOPBACK)))
    return {**proxies, "no": hosts}


def _proxy(scheme: str, env: Mapping[str, str]) -> str:
    name = f"{scheme}_proxy"
    url = _value(name, env).strip()
    kind, mark, _ = url.partition("://")
    if mark and kind.lower() not in ("http", "https"):
        # The URL itself may hold a password.
        raise ConfigError(
            f"{name.upper()} names a {kind} proxy; only HTTP proxies can be used. Set it to "
            "http://HOST:PORT, or unset it"
        )
    return url if mark or not url else f"http://{url}"


def _value(name: str, env: Mapping[str, str]) -> str:
    return env[name] if name in env else env.get(name.upper(), "")
