"""Who takes part: how each is found, configured and started."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.ledgers import Ledger
from bench.payloads import GEMINI_MODEL, RECRAFT_MODEL

BENCH = Path(__file__).parent
ROOT = BENCH.parent
LITELLM = BENCH / ".venvs" / "litellm"
PORTKEY = BENCH / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
KEY = {"authorization": "Bearer sk-test-bench"}

Prepare = Callable[[Path, int, int], list[str]]
"""(folder, upstream's port, own port) -> the command to start; writes its configuration."""


@dataclass(frozen=True)
class Contender:
    """One gateway. `missing` says why it cannot take part, empty if it can.

    `written_bytes_max` bounds what a case may make it write; 0 is no bound. `one_folder_a_case`:
    it starts anew for each case, so that what it kept is removed. `translates`: it has models of
    other providers, too, named after them (`bench-gemini`).
    """

    name: str
    missing: str = ""
    prepare: Prepare | None = None
    ready_path: str = "/"
    model: str = "bench"
    extra_headers: Callable[[int], dict[str, str]] | None = None
    written_bytes_max: int = 0
    one_folder_a_case: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    translates: bool = False

    def headers(self, upstream_port: int) -> dict[str, str]:
        """Return the headers of a call to it."""
        return KEY | (self.extra_headers(upstream_port) if self.extra_headers else {})


# nginx


def _prepare_nginx(folder: Path, upstream_port: int, port: int) -> list[str]:
    temporary = "\n".join(
        f"  {name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
{temporary}
  upstream fake {{ server 127.0.0.1:{upstream_port}; keepalive 512; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    client_max_body_size 0;
    keepalive_requests 1000000;
    location / {{
      proxy_pass http://fake;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 64k;
      proxy_request_buffering off;
    }}
  }}
}}
"""
    (folder / "nginx.conf").write_text(config)
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


# imagegate


def _imagegate(*, retention: str) -> Prepare:
    def prepare(folder: Path, upstream_port: int, port: int) -> list[str]:
        (folder / "config.yaml").write_text(model_list("openai/bench", upstream_port) + retention)
        arguments = ["serve", "--config", "config.yaml", "--port", str(port)]
        return [sys.executable, "-m", "imagegate", *arguments]

    return prepare


def model_list(model: str, upstream_port: int, **prices: float) -> str:
    """Return the model list that both LiteLLM and imagegate read."""
    host = f"http://127.0.0.1:{upstream_port}"
    entries = [
        _entry("bench", model, f"{host}/v1", **prices),
        _entry("bench-gemini", f"gemini/{GEMINI_MODEL}", f"{host}/gemini/v1beta"),
        _entry("bench-recraft", f"recraft/{RECRAFT_MODEL}", f"{host}/recraft/v1"),
    ]
    return f"model_list: {json.dumps(entries)}\n"


def _entry(name: str, model: str, api_base: str, **prices: float) -> dict[str, object]:
    params = {"model": model, "api_base": api_base, "api_key": "sk-test-bench", **prices}
    return {
        "model_name": name,
        "litellm_params": params,
        "model_info": {"mode": "image_generation"},
    }


def _with_ledger(name: str, *, is_shared: bool) -> Contender:
    ledger = Ledger(is_shared=is_shared)

    def prepare(folder: Path, upstream_port: int, port: int) -> list[str]:
        # A budget counts only what has a price.
        models = model_list("openai/bench", upstream_port, output_cost_per_image=0.001)
        return ledger.prepare(folder, models, port)

    missing = _missing_imagegate()
    return Contender(name, missing, prepare, "/readyz", extra_headers=ledger.headers)


def _missing_imagegate() -> str:
    found = importlib.util.find_spec("imagegate")
    complete = found and importlib.util.find_spec("imagegate.__main__")
    return "" if complete else "not installed"


# LiteLLM


def _prepare_litellm(folder: Path, upstream_port: int, port: int) -> list[str]:
    # Without a key and a database: the fastest that it can be.
    open_door = "general_settings: {dangerously_permit_weak_or_unset_master_key: true}\n"
    models = model_list("openai/gpt-image-2", upstream_port)
    (folder / "config.yaml").write_text(models + open_door)
    place = ["--host", "127.0.0.1", "--port", str(port)]
    return [str(LITELLM / "bin" / "litellm"), "--config", "config.yaml", *place]


# Portkey


def _prepare_portkey(_folder: Path, _upstream_port: int, port: int) -> list[str]:
    return ["node", str(PORTKEY), f"--port={port}", "--headless"]


def _portkey_headers(upstream_port: int) -> dict[str, str]:
    host = f"http://127.0.0.1:{upstream_port}/v1"
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": host}


def contenders() -> list[Contender]:
    """Return all contenders, whether they can take part or not."""
    return [
        Contender("direct"),
        Contender("nginx", "" if shutil.which("nginx") else "not installed", _prepare_nginx),
        Contender(
            "imagegate",
            _missing_imagegate(),
            _imagegate(retention="assets: {retention_s: 0}\n"),
            "/readyz",
            translates=True,
        ),
        Contender(
            "imagegate-keep",
            _missing_imagegate(),
            _imagegate(retention=""),
            "/readyz",
            written_bytes_max=2 * 1024**3,
            one_folder_a_case=True,
            translates=True,
        ),
        _with_ledger("imagegate-people", is_shared=False),
        _with_ledger("imagegate-postgres", is_shared=True),
        Contender(
            "litellm",
            "" if (LITELLM / "bin" / "litellm").exists() else "not installed",
            _prepare_litellm,
            "/health/liveliness",
            # No look-ups of prices in the net, no log line for each call.
            environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
            translates=True,
        ),
        Contender(
            "portkey",
            "" if PORTKEY.exists() and shutil.which("node") else "not installed",
            _prepare_portkey,
            extra_headers=_portkey_headers,
        ),
    ]


def environment_of(contender: Contender, folder: Path) -> dict[str, str]:
    """Return the environment to start it in: no proxies, and all its data in `folder`."""
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    kept = {name: value for name, value in os.environ.items() if name.lower() not in proxies}
    return {**kept, "no_proxy": "*", "IMAGEGATE_HOME": str(folder), **contender.environment}
