import pytest

from ffrtmp.process.log import Ring, clean


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a new title\x07text", "text"),
        ("frame=1\rframe=2\r\nend", "frame=1\nframe=2\nend"),
        ("bell\x07 null\x00 delete\x7f c1\x9b", "bell null delete c1"),
        ("user\u202egpj.exe", "usergpj.exe"),
        ("Ünï ☃ 漢字", "Ünï ☃ 漢字"),
    ],
)
def test_only_printable_text_is_left(said, shown):
    assert clean(said) == shown


def test_a_short_log_is_kept_whole():
    ring = Ring(head_bytes=4, tail_bytes=4)
    ring.feed(b"abc")
    ring.feed(b"defgh")
    assert ring.text() == "abcdefgh"


def test_of_a_long_log_the_beginning_and_the_end_are_kept():
    ring = Ring(head_bytes=4, tail_bytes=4)
    for letter in b"abcdefghijklmnopqrstuvwxyz":
        ring.feed(bytes([letter]))
    assert ring.text() == "abcd\n… 18 bytes left out …\nwxyz"


def test_memory_is_bounded_whatever_comes():
    ring = Ring(head_bytes=10, tail_bytes=100)
    for _ in range(1000):
        ring.feed(b"x" * 1000)
    assert len(ring.text()) < 200


def test_broken_utf8_does_not_hurt():
    ring = Ring()
    ring.feed(b"caf\xe9 \xff")
    assert ring.text() == "caf\ufffd \ufffd"
