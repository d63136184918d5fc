"""Coded terms of DICOM segments by name, from a table that comes with the package and one of the user's own."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from trocar.formats.mask_set import ObjectInfo, Term

TABLE = Path(__file__).with_name("dicom_terms.toml")


@cache
def load_terms(path: Path = TABLE) -> dict[str, tuple[Term, Term]]:
    """Name in lower case -> (category, type); "" stands for what has no name or an unknown one.

    The file is TOML: `[categories]` gives categories names, and each table of `[terms.NAME]` has `category` and `type`.
    The user's file may use the packaged categories and replaces packaged names; `[default]` is for all other names.

    Raises:
        FileNotFoundError, ValueError: missing, not TOML, or a term that is not three texts.
    """
    packaged = load_terms() if path != TABLE else {}
    try:
        document = _document(path)
        categories = (_document(TABLE) if path != TABLE else {}).get("categories", {}) | document.get("categories", {})
        said = document.get("terms", {}) | ({"": document["default"]} if "default" in document else {})
        return packaged | {name.lower(): _pair(entry, categories) for name, entry in said.items()}
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist: check the name of the table of terms") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a table of terms: {type(error).__name__} {error}") from error


def _document(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _pair(entry: dict[str, Any], categories: dict[str, Any]) -> tuple[Term, Term]:
    """The category, by name or spelt out, and the type."""
    category = entry["category"]
    return _term(categories[category] if isinstance(category, str) else category), _term(entry["type"])


def _term(said: Any) -> Term:
    if not isinstance(said, list) or len(said) != 3 or not all(isinstance(part, str) and part for part in said):
        raise ValueError(f"a coded term is [value, scheme, meaning], not {said!r}")
    return Term(*said)


def terms_of(info: ObjectInfo) -> tuple[Term, Term]:
    """The (category, type) of an object: its own, else those of its name, else the table's default."""
    table = load_terms()
    return info.terms or table.get(info.name.lower(), table[""])
