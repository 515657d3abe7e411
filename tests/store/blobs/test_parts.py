"""How a file is divided into sent and copied parts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.blobs.parts import LEAST, Part, Range, divide, sent

MB = 1 << 20


def test_code_is_sent_and_the_rest_is_copied() -> None:
    parts = divide(705 * MB, [Range(MB, 704 * MB, "old", 9)])
    assert (parts[0], sent(parts)) == (Part(0, LEAST), LEAST)
    assert parts[1] == Part(LEAST, parts[1].length, Range(LEAST, parts[1].length, "old", 9 + 4 * MB))
    assert all(64 * MB <= part.length < 128 * MB for part in parts[1:-1])


def test_a_file_without_ranges_is_sent() -> None:
    assert divide(0) == ()
    assert divide(3) == (Part(0, 3),)
    assert [part.length for part in divide(11 * MB)] == [5 * MB, 5 * MB, MB]


def test_a_whole_file_is_copied_however_short() -> None:
    assert divide(5, [Range(0, 5, "old", 7)]) == (Part(0, 5, Range(0, 5, "old", 7)),)


def test_what_is_too_short_for_a_part_is_sent_with_its_neighbours() -> None:
    short = Range(30 * MB, 4 * MB, "old", 0)
    assert sent(divide(60 * MB, [Range(0, 20 * MB, "old", 0), short])) == 40 * MB
    # one byte between two ranges costs the least part, which takes the beginning of the second
    assert (
        sent(divide(61 * MB, [Range(0, 20 * MB, "old", 0), Range(20 * MB + 1, 41 * MB - 1, "a", 0)])) == LEAST
    )


@given(
    size=st.integers(0, 900 * MB),
    cuts=st.lists(st.tuples(st.integers(0, 900 * MB), st.booleans()), max_size=12),
)
@pytest.mark.parametrize("factor", [1, 97])
def test_parts_are_the_file_in_order(factor: int, size: int, cuts: list[tuple[int, bool]]) -> None:
    size *= factor
    edges = sorted({0, size, *(cut * factor for cut, _ in cuts if cut * factor < size)})
    known = [is_known for _, is_known in cuts] + [True] * len(edges)
    ranges = [
        Range(start, end - start, f"key {number % 2}", 3 * start)
        for number, (start, end) in enumerate(pairwise(edges))
        if known[number]
    ]
    parts = divide(size, ranges)
    at = 0
    for part in parts:
        assert part.start == at
        at += part.length
        if part.copied:
            assert (part.copied.start, part.copied.length) == (part.start, part.length)
            assert any(
                one.start <= part.start
                and at <= one.end
                and (one.key, one.offset + part.start - one.start) == (part.copied.key, part.copied.offset)
                for one in ranges
            )
    assert at == size
    assert all(LEAST <= part.length <= 5 << 30 for part in parts[:-1])
    assert len(parts) <= 10_000
    least = max(LEAST, size // 10_000 + 1)
    assert sent(parts) <= size - sum(one.length for one in ranges) + 2 * least * len(ranges)
