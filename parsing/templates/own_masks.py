"""The masks of a log that nothing is known about: dates, ids, addresses, paths, sizes and numbers; never a status code.

One long alternation goes over every line, since most lines of a log differ by what it blanks; the others see the few
that are left. A number of one to three digits waits for them: it may be the status of an answer (`"GET /x" 500`),
which says what happened. One digit at the end of a word (`eth0`, `ipv4`) is left to the miner.
"""

from parsing.templates.masks import PARAMETER, Mask

_HEX = "[0-9a-fA-F]"
_MONTH = (
    "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t|tember)?|Oct(?:ober)?"
    "|Nov(?:ember)?|Dec(?:ember)?)"
)
_DAY = "(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
_TIME = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:[.,][0-9]+)?(?: ?[AaPp][Mm]\b)?"
_ZONE = r"(?: ?(?:(?:Z|UTC|GMT|CES?T|EES?T|E[SD]T|C[SD]T|M[SD]T|P[SD]T|JST|IST|BST|MSK)\b|[-+][0-9]{2}:?[0-9]{2}\b))?"
_SIGN = r"(?:\B[-+])?"
_UNIT = "(?:ns|us|µs|ms|s|secs?|mins?|hrs?|h)"  # those that change with the value; words such as seconds stay

_VARIABLE = (
    # Ids and addresses, some of which begin like a date
    rf"\b{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}\b",  # UUID
    rf"\b(?:{_HEX}{{2}}[:-]){{5,}}{_HEX}{{2}}\b",  # MAC
    rf"\b(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}\b|\b{_HEX}{{2,4}}:(?:{_HEX}{{1,4}}:)*(?::{_HEX}{{1,4}})+\b",  # IPv6
    r"/?\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:[:/][0-9]+)?\b",  # IPv4 with its port or network
    # Dates and times
    rf"\b[0-9]{{4}}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}(?:[T ,_:-] ?{_TIME})?{_ZONE}",
    rf"\b[0-9]{{1,2}}[-/.](?:[0-9]{{1,2}}|{_MONTH})[-/.][0-9]{{2,4}}(?:[T ,_:-] ?{_TIME})?{_ZONE}",
    rf"\b(?:{_DAY},? +)?{_MONTH} +[0-9]{{1,2}}\b(?:,? [0-9]{{4}}\b)?(?:,? {_TIME})?{_ZONE}(?: [0-9]{{4}}\b)?",
    rf"\b(?:{_DAY},? +)?[0-9]{{1,2}} {_MONTH} [0-9]{{4}}(?:,? {_TIME})?{_ZONE}",
    rf"\b(?:{_DAY},? +)?{_TIME}\b{_ZONE}",
    # Places
    r'\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"<>)\],;]+',
    r'\b[A-Za-z]:\\[^\s"<>|,;)\]]*',  # path of Windows
    r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    r"\b[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2,}:[0-9]+\b",  # host and port; file.c:12 has one dot
    r'"[A-Za-z][A-Za-z0-9._-]*/[0-9][^"]*"',  # user agent, product and version first
    r"\B~?(?:/[A-Za-z0-9_.+$%@~=&?#*!{}-]+)+/?(?: HTTP/[0-9.]+)?",  # path; what a request asks for, to its end
    r"\B/ HTTP/[0-9.]+",
    rf"\b0[xX]{_HEX}+\b",
    # Sizes and durations with their units
    rf"{_SIGN}\b[0-9][0-9.,]* ?[KMGTP]?i?B\b",
    rf"<?{_SIGN}\b[0-9]+(?:\.[0-9]+)? ?{_UNIT}\b",
    # Words with digits, and numbers of more than three
    rf"\b[0-9]+[a-fA-F]{_HEX}*\b|\b[a-fA-F]+[0-9]{_HEX}{{4,}}\b|\b{_HEX}{{8,}}\b",
    r"\b[A-Za-z]+[0-9]+[A-Za-z]+[0-9][A-Za-z0-9]*\b",
    rf"{_SIGN}\b[0-9]+(?:[.,:/-][0-9][0-9A-Za-z_]*)+",
    r"-?[0-9]{4,}[0-9A-Za-z_]*",  # in words, too: blk_-1000 and blk_1000 alike
    r"\b[0-9]+[A-Za-z_][0-9A-Za-z_]*",
)


# A status is spelled with letters while the other numbers are blanked: Rust's expressions cannot look behind.
_STATUS = "([1-5])([0-9])([0-9])"
_SPELLED = "q${2}q${3}q${4}q"

_NAMED = (
    r"""(?i)((?:status|response|http)(?:[ _-]?(?:status|code|error|response))*["']?(?: ?[=:] ?| )["']?"""
    r"""|\bHTTP/[0-9.<*>]+"? |\b(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) <\*>"? |\bcompleted )"""
)


def _mask(name: str, pattern: str, replacement: str = PARAMETER) -> Mask:
    """Return a mask whose words end at letters of ASCII: those of all scripts cost 25 times the time."""
    return Mask(name, pattern.replace(r"\b", r"(?-u:\b)").replace(r"\B", r"(?-u:\B)"), replacement)


OWN_MASKS = (
    _mask("variable part", "|".join(_VARIABLE)),  # without groups, which would make it slow
    _mask("number in a word", r"([A-Za-z_])[0-9]{2,}[0-9A-Za-z]*", "${1}" + PARAMETER),
    _mask("size in brackets after the bytes", r"( bytes?) \(<\*>\)", "${1}"),  # 1190 bytes (1.16 KB) as 403 bytes
    _mask("status, kept", rf"{_NAMED}{_STATUS}\b", "${1}" + _SPELLED),
    _mask("status before a size, kept", rf'(" ){_STATUS}( (?:[0-9]+|<\*>|-)(?: |$))', "${1}" + _SPELLED + "${5}"),
    _mask("number", rf"{_SIGN}\b[0-9]{{1,3}}\b"),
    _mask("status as it was", r"q([1-5])q([0-9])q([0-9])q", "${1}${2}${3}"),
)


def own_masks(session: str | None, masks: tuple[Mask, ...] = OWN_MASKS) -> tuple[Mask, ...]:
    """Return the masks of an own log, with the ids of its sessions blanked first where there is a pattern of them."""
    return (Mask("session id", session), *masks) if session else masks
