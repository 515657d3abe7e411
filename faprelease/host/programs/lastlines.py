"""What an app logged last: its last traceback, and its last lines."""

HEAD = "Traceback (most recent call last):"
CHAINED = "During handling of the above exception", "The above exception was the direct cause"
COUNT = 10
"""How many last lines are shown."""


def shown(text):
    """The part of a log that explains why an app ended. What a server prints when it starts again, or how it
    ends, would hide the traceback that comes before."""
    lines = text.rstrip().splitlines()
    start, end = last_traceback(lines)
    rest = max(len(lines) - COUNT, 0)
    if start >= rest:
        return "\n".join(lines[rest:])
    gap = ["…"] if end < rest else []
    return "\n".join([*lines[start:end], *gap, *lines[max(end, rest) :]])


def last_traceback(lines):
    """Where the last traceback begins and ends, with those that it is chained to; at the end if there is
    none."""
    start = end = len(lines)
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].endswith(HEAD):
            if start == len(lines):
                end = next((n + 1 for n in range(number + 1, len(lines)) if lines[n][:1] != " "), len(lines))
            elif not any(line.startswith(CHAINED) for line in lines[number:start]):
                break
            start = number
    return start, end
