"""Languages of tracks: two- and three-letter codes that name the same one."""

#: ISO 639-1 → ISO 639-2, the terminological code first, then the bibliographic one where it differs
_TABLE = """
    ar:ara bg:bul bn:ben ca:cat cs:ces/cze cy:cym/wel da:dan de:deu/ger el:ell/gre en:eng es:spa et:est eu:eus/baq
    fa:fas/per fi:fin fr:fra/fre ga:gle gl:glg he:heb hi:hin hr:hrv hu:hun hy:hye/arm id:ind is:isl/ice it:ita ja:jpn
    ka:kat/geo ko:kor lt:lit lv:lav mk:mkd/mac ms:msa/may nb:nob nl:nld/dut nn:nno no:nor pl:pol pt:por ro:ron/rum ru:rus
    sk:slk/slo sl:slv sq:sqi/alb sr:srp sv:swe sw:swa ta:tam te:tel th:tha tl:tgl tr:tur uk:ukr ur:urd vi:vie zh:zho/chi
"""
_CODES = {code: tuple(names.split("/")) for code, names in (pair.split(":") for pair in _TABLE.split())}
_SHORT = {name: code for code, names in _CODES.items() for name in names}


def same(one: str, other: str) -> bool:
    """`de`, `deu` and `ger` are one language."""
    return one == other or _SHORT.get(one, one) == _SHORT.get(other, other)


def tag(code: str) -> str:
    """The shortest code, as BCP 47 and so playlists want it; empty where the language is not known."""
    return "" if code == "und" else _SHORT.get(code, code)


def three_letters(code: str) -> str | None:
    """What mp4 and mpegts can hold; None where no such code is known."""
    if len(code) == 3:
        return code
    return _CODES[code][0] if code in _CODES else None
