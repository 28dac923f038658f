"""What hypothesis draws for several tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

# JSON in UTF-8 holds no lone surrogates.
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
#: whatever JSON can hold, and NaN and infinity, as Python's own takes them
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
