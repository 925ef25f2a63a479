from ffrtmp.process.pipes import LINE_BYTES, LinesPipe


def lines_of(*chunks: bytes) -> list[str]:
    lines: list[str] = []
    pipe = LinesPipe(lines.append, on_fault=lambda: None)
    for chunk in chunks:
        pipe.data_received(chunk)
    pipe.connection_lost(None)
    assert pipe.closed.is_set()
    return lines


def test_lines_are_put_together_from_pieces():
    assert lines_of(b"fra", b"me=1\nfp", b"s=2\n", b"end") == ["frame=1", "fps=2", "end"]


def test_windows_line_ends_are_taken_off():
    assert lines_of(b"one\r\ntwo\r\n") == ["one", "two"]


def test_a_line_without_end_is_cut_and_its_rest_thrown_away():
    lines = lines_of(b"x" * (LINE_BYTES + 1), b"more of it", b"\nnext\n")
    assert [len(lines[0]), *lines[1:]] == [LINE_BYTES, "next"]


def test_a_fault_in_the_reader_is_kept_and_told_once():
    told = []

    def fails(line: str) -> None:
        raise ValueError(line)

    pipe = LinesPipe(fails, on_fault=lambda: told.append(True))
    pipe.data_received(b"one\ntwo\n")
    assert str(pipe.fault) == "one"
    assert told == [True]
