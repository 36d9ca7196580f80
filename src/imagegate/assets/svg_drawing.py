"""The sandbox's picture as an SVG document."""

from html import escape

from imagegate.assets.lettering import Lettering


def build_svg(
    size: tuple[int, int],
    corners: tuple[tuple[int, int, int], ...],
    block: Lettering,
    footer: str,
) -> bytes:
    """Return a document with the text on a gradient of the first and last corner colour."""
    width, height = size
    top = (height - block.height_px) / 2 + block.size_px * 0.8
    lines = "".join(
        _line(width / 2, top + number * block.line_px, block.size_px, line)
        for number, line in enumerate(block.lines)
    )
    small = min(size) / 38
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">'
        '<defs><linearGradient id="g" x2="1" y2="1">'
        f'<stop stop-color="rgb{corners[0]}"/><stop offset="1" stop-color="rgb{corners[-1]}"/>'
        '</linearGradient></defs><rect width="100%" height="100%" fill="url(#g)"/>'
        f'<g fill="#fff" text-anchor="middle" font-family="sans-serif">{lines}'
        f"{_line(width / 2, height - 2 * small, small, footer)}</g></svg>\n"
    ).encode()


def _line(x: float, y: float, size_px: float, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size_px:g}">{escape(text)}</text>'
