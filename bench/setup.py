"""Installs the contenders that pip and npm bring, each into a place of its own."""

import subprocess
import sys

from bench.contenders import BENCH, LITELLM


def set_up_litellm() -> None:
    """Install LiteLLM's proxy into bench/.venvs/litellm."""
    subprocess.run([sys.executable, "-m", "venv", LITELLM], check=True)
    pip = [str(LITELLM / "bin" / "python"), "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "litellm[proxy]"], check=True)


def set_up_portkey() -> None:
    """Install Portkey's gateway into bench/node_modules."""
    quiet = ["--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
    command = ["npm", "install", "--prefix", str(BENCH), *quiet, "@portkey-ai/gateway"]
    subprocess.run(command, check=True)
