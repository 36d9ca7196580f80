"""`python -m tests.upstream --port 0` prints its port and serves until it is stopped."""

import argparse
import asyncio
import signal

from tests.upstream.server import UpstreamServer


async def serve(port: int, key: str | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = UpstreamServer(key)
    await server.start(port)
    print(server.port, flush=True)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    await stopped.wait()
    await server.close()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.upstream")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--key", default=None, help="the only key taken; any without it")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.key))


main()
