"""A font for tests without Japanese fonts: each character of a page that is no Latin one is a box of one em.

Japanese fonts draw every such character in a square of this width, so lines break as they do for a reader. Without a
font, a browser draws narrow boxes, and a page that is too long for its paper would pass.
"""

from __future__ import annotations

import base64
import io

_EM = 1000
_FIRST = 0x2E80
"""First character of the East Asian blocks of Unicode."""


def full_width_style(text: str) -> str:
    """Return a style sheet that gives the East Asian characters of a text this font."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen, empty = TTGlyphPen(None), TTGlyphPen(None)
    pen.moveTo((80, -60))
    for corner in ((80, 820), (920, 820), (920, -60)):
        pen.lineTo(corner)
    pen.closePath()
    made = FontBuilder(_EM, isTTF=True)
    made.setupGlyphOrder([".notdef", "box"])
    made.setupCharacterMap({ord(char): "box" for char in text if ord(char) >= _FIRST})
    made.setupGlyf({".notdef": empty.glyph(), "box": pen.glyph()})
    made.setupHorizontalMetrics({".notdef": (_EM, 0), "box": (_EM, 80)})
    made.setupHorizontalHeader(ascent=880, descent=-120)
    made.setupNameTable({"familyName": "Full Width", "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    file = io.BytesIO()
    made.save(file)
    source = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'@font-face {{ font-family: "Full Width"; src: url(data:font/ttf;base64,{source}); }} '
        ':root:lang(ja) body { font-family: "Full Width", system-ui, sans-serif; }'
    )
