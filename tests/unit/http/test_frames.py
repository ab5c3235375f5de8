"""What the short way takes, and what it leaves to the engine, whatever pieces the bytes arrive in."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from stellwerk.http.frames import FrameReader, text_frame

LIMIT = 100_000

sizes = st.one_of(st.integers(0, 200), st.integers(65_500, 65_600))
opcodes = st.sampled_from([Opcode.TEXT, Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG])
messages = st.lists(st.tuples(opcodes, sizes), max_size=6)


def sent_by_client(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def read(reader: FrameReader, stream: bytes, cuts: list[int]) -> list[tuple[bytes, bool]]:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    return [frame for piece in pieces for frame in reader.feed(piece)]


@given(messages, st.lists(st.integers(0, 1_000_000), max_size=12))
def test_every_frame_comes_out_whole_whatever_pieces_it_arrives_in(
    frames: list[tuple[Opcode, int]], cuts: list[int]
) -> None:
    sent = [(opcode, b"x" * min(size, 125 if opcode >= Opcode.CLOSE else size)) for opcode, size in frames]
    wire = [sent_by_client(opcode, data) for opcode, data in sent]
    expected = [
        (data, True) if opcode is Opcode.TEXT else (raw, False)
        for (opcode, data), raw in zip(sent, wire, strict=True)
    ]
    assert read(FrameReader(LIMIT), b"".join(wire), cuts) == expected


def test_a_frame_that_dribbles_in_is_found_at_its_last_byte() -> None:
    reader, wire = FrameReader(LIMIT), sent_by_client(Opcode.TEXT, b"hello")
    found = [list(reader.feed(wire[place : place + 1])) for place in range(len(wire))]
    assert found == [[]] * (len(wire) - 1) + [[(b"hello", True)]]


def test_a_message_in_fragments_is_left_to_the_engine_with_all_that_comes_before_its_end() -> None:
    wire = [
        sent_by_client(Opcode.TEXT, b"a", fin=False),
        sent_by_client(Opcode.PING, b""),
        sent_by_client(Opcode.TEXT, b"a mistake, which the engine refuses"),
        sent_by_client(Opcode.CONT, b"b"),
    ]
    after = sent_by_client(Opcode.TEXT, b"c")
    frames = list(FrameReader(LIMIT).feed(b"".join([*wire[:2], wire[3], after])))
    assert frames == [(wire[0], False), (wire[1], False), (wire[3], False), (b"c", True)]
    assert list(FrameReader(LIMIT).feed(wire[0] + wire[2])) == [(wire[0], False), (wire[2], False)]


def test_unmasked_and_extended_frames_are_left_to_the_engine() -> None:
    unmasked = Frame(Opcode.TEXT, b"a").serialize(mask=False)
    extended = b"\xc1" + sent_by_client(Opcode.TEXT, b"a")[1:]
    assert list(FrameReader(LIMIT).feed(unmasked + extended)) == [(unmasked, False), (extended, False)]


def test_a_frame_beyond_the_limit_is_handed_on_by_its_head() -> None:
    head = sent_by_client(Opcode.TEXT, b"x" * (LIMIT + 1))[:14]
    assert list(FrameReader(LIMIT).feed(head)) == [(head, False)]


@given(sizes)
def test_a_client_reads_what_is_sent(size: int) -> None:
    client = Protocol(CLIENT, state=OPEN)
    client.receive_data(text_frame(b"x" * size))
    assert client.events_received() == [Frame(Opcode.TEXT, b"x" * size)]
