"""The guide knows every provider, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from imagegate.providers import PROVIDERS

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "providers"
INDEX = (GUIDE / "README.md").read_text("utf-8")
PAGES = sorted(GUIDE.glob("*.md"))


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_the_index_names_each_provider(provider):
    # Users reach a compatible server without a row as openai/ with an api_base.
    prefixes = {provider.name.replace("openai_compatible", "openai"), *provider.aliases}
    assert any(f"`{prefix}/" in INDEX or f" {prefix}/" in INDEX for prefix in prefixes)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (GUIDE / link).exists()] == []
    assert page.name == "README.md" or f"({page.name})" in INDEX
