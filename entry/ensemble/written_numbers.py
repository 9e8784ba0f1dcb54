"""Numbers as spreadsheets and people write them: ``1,250``, ``$1,250.50``, ``12.5 %``, ``1.250,50``, ``(3)``."""

from __future__ import annotations

import re
import unicodedata

DECIMAL_MARKS = (".", ",")
_CODES = (
    "AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EUR GBP HKD HUF IDR ILS INR ISK JPY KRW KZT MXN MYR NOK NZD PEN "
    "PHP PKR PLN RON RSD RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR"
).replace(" ", "|")
_UNIT = rf"(?:%|\u2030|US\$|R\$|[$\xa2-\xa5\u20a0-\u20cf]|kr\.?|zł|Kč|Fr\.|{_CODES})"
_GAP = "[ \u00a0\u2009\u202f]"
_MINUS = str.maketrans("\u2212", "-")
# What the units of shares divide by.
SHARES = {"%": 100, "\u2030": 1000}
# Marks of Arabic numbers, which have one meaning.
_ARABIC = {"\u066b": 0, "\u066c": 1}


def _pattern(decimal: str) -> re.Pattern[str]:
    other = "," if decimal == "." else r"\."
    grouped = rf"\d{{1,3}}(?P<mark>{_GAP}|[{other}'\u2019])\d{{3}}(?:(?P=mark)\d{{3}})*"
    indian = r"|\d{1,2}(?:,\d{2})+,\d{3}" if decimal == "." else ""
    number = rf"(?:{grouped}{indian}|\d+)(?:[{decimal}]\d*)?|[{decimal}]\d+"
    return re.compile(
        rf"(?P<first>[+-]?){_GAP}*(?P<before>{_UNIT}?){_GAP}*(?P<second>[+-]?)"
        rf"(?P<number>(?:{number})(?:[eE][+-]?\d+)?)(?P<third>-?){_GAP}*(?P<after>{_UNIT}?)",
        re.ASCII,
    )


_PATTERNS = {decimal: _pattern(decimal) for decimal in DECIMAL_MARKS}


def written_number(text: str, decimal: str) -> tuple[float, str] | None:
    """Return the number that a text is and its currency, which may be empty; None if it is not a number.

    Args:
        text: The text.
        decimal: The decimal mark: ``.``, with commas between thousands, or ``,``, with points between them. Spaces and
            apostrophes may also be between thousands. A currency may stand before or after the number, ``%`` divides
            by 100, and parentheses, or a minus behind the number, are a minus sign. Digits may be of any script.
    """
    body = (text if text.isascii() else _plain_characters(text, decimal)).translate(_MINUS).strip()
    negative = body.startswith("(") and body.endswith(")")
    found = _PATTERNS[decimal].fullmatch(body[1:-1].strip() if negative else body)
    if found is None:
        return None
    signs, units = found["first"] + found["second"] + found["third"], found["before"] + found["after"]
    if len(signs) + negative > 1 or (found["before"] and found["after"]):
        return None
    number = float(re.sub(rf"[^0-9eE+{decimal}-]", "", found["number"]).replace(decimal, "."))
    signed = -number if negative or signs == "-" else number
    return (signed / SHARES[units], "") if units in SHARES else (signed, units)


def _plain_characters(text: str, decimal: str) -> str:
    """Return a text with ASCII for digits of other scripts, for full-width characters, and for Arabic marks."""
    marks = (decimal, "," if decimal == "." else ".")
    found = []
    for character in text:
        narrow = chr(ord(character) - 0xFEE0) if "\uff01" <= character <= "\uff5e" else character
        digit = unicodedata.decimal(narrow, None)
        mark = _ARABIC.get(character)
        found.append(str(digit) if digit is not None else narrow if mark is None else marks[mark])
    return "".join(found)
