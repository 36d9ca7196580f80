"""A real process reads its configuration anew: at SIGHUP, and when a file of it is written."""

import fcntl
import http.client
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

from tests.faults.process import WAIT_S_MAX, GatewayProcess
from tests.upstream.fake import FakeUpstream

TRIES_MAX = 20_000
ROW = '[[model]]\nid = "openai/house"\nlike = "openai/gpt-image-2"\nsource = "test"\n'
DATES = "checked = 2026-11-20\n"


def metrics(gateway: GatewayProcess) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=WAIT_S_MAX)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def wait(gateway: GatewayProcess, is_so: Callable[[], bool]) -> None:
    for _ in range(TRIES_MAX):
        if is_so():
            return
        gateway.turn()
    raise TimeoutError(f"in vain: {gateway.output[-5:]}")


def models(gateway: GatewayProcess) -> list[str]:
    return [one["id"] for one in gateway.get("/v1/models")[1]["data"]]


def test_a_written_file_is_served_and_one_with_faults_is_told(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    with GatewayProcess(tmp_path, upstream.v1) as gateway:
        config = tmp_path / "config.yaml"
        good = config.read_text()
        config.write_text(good.replace("model_name: img", "model_name: fresh"))
        wait(gateway, lambda: models(gateway) == ["fresh"])
        config.write_text(good.replace("model_name: img", "model_nam: img"))
        wait(gateway, lambda: gateway.get("/readyz")[1].get("config") == "refused")
        assert models(gateway) == ["fresh"]
        config.write_text(good)
        wait(gateway, lambda: models(gateway) == ["img"])
        assert gateway.get("/readyz") == (200, {"status": "ready"})
    assert any("config.refused" in line and "model_name" in line for line in gateway.output)


def test_a_file_that_the_configuration_names_is_watched_too(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_text(ROW + DATES)
    with GatewayProcess(tmp_path, upstream.v1, extra="catalogue: [rows.toml]") as gateway:
        rows.write_text(ROW + DATES + "chcked = 1\n")
        wait(gateway, lambda: gateway.get("/readyz")[1].get("config") == "refused")
        rows.write_text(ROW + DATES)
        wait(gateway, lambda: "config" not in gateway.get("/readyz")[1])


def test_at_sighup_all_is_read_anew(upstream: FakeUpstream, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, upstream.v1) as gateway:
        reloads = 'imagegate_config_reloads_total{result="served"}'
        assert f"{reloads} 0" in metrics(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        wait(gateway, lambda: f"{reloads} 1" in metrics(gateway))
        assert gateway.generate("a fox")["data"]


def test_a_gateway_leaves_with_its_terminal(upstream: FakeUpstream, tmp_path: Path) -> None:
    command = GatewayProcess(tmp_path, upstream.v1).command
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    assert process.stdout is not None
    with process.stdout as lines:
        assert b"is ready" in lines.readline()
        os.close(master)
        assert process.wait(WAIT_S_MAX) == 0
