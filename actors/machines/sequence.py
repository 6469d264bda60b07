"""Gap accounting: which of a provider's numbered records have come, and which are awaited.

Nothing here depends on the order in which the same records come, as long as the count is one and gaps are not many.
"""

from msgspec.structs import replace

from actors.domain.match import Numbers, Sequence

MAX_RUNS = 64  # gaps that are remembered one by one; a feed with more needs a snapshot
MAX_JUMP = 100_000  # a match has some 2,000 records, its odds some 20,000: beyond this it is another count
ODDS_WINDOW = 64  # a book is whole: one that was sent so long before the last is not waited for


def account(sequence: Sequence, seq: int, event_id: str, is_known: bool) -> Sequence:
    """Account for a record that came: number `seq`, about an event of which this much is known already, or not.

    A number used twice, for something new, means that the provider began to count anew; so does another record 1.
    """
    if seq == 1 and sequence.first and sequence.first != event_id:
        return replace(sequence, restarted=True, first=event_id)
    if not is_new(sequence, seq):
        begins_at_nought = seq == 0 and sequence.last == 0
        return sequence if is_known or begins_at_nought else replace(sequence, restarted=True)
    sequence = advance(sequence, seq)
    return replace(sequence, first=event_id) if seq == 1 else sequence


def advance(sequence: Sequence, seq: int) -> Sequence:
    """Account for number `seq`.

    >>> advance(Sequence(last=4), 7).missing
    ((5, 6),)
    """
    if seq > sequence.last + MAX_JUMP:
        return replace(sequence, restarted=True)
    if seq > sequence.last:
        return _awaiting(sequence, sequence.last + 1, seq - 1, last=seq)
    if not is_new(sequence, seq):
        return sequence
    return replace(sequence, missing=_without(sequence.missing, seq), waived=_without(sequence.waived, seq))


def alive(sequence: Sequence, last_sent: int) -> Sequence:
    """Account for a tick: everything up to `last_sent` was sent, so what has not come is missing.

    >>> alive(Sequence(last=4), 6).missing
    ((5, 6),)
    """
    if last_sent <= sequence.last:
        return sequence
    if last_sent > sequence.last + MAX_JUMP:
        return replace(sequence, restarted=True)
    return _awaiting(sequence, sequence.last + 1, last_sent, last=last_sent)


def lose(sequence: Sequence, seq: int) -> Sequence:
    """Account for a record that came but cannot be used; `seq` is 0 where not even its number can be read."""
    if 0 < seq <= sequence.snapshot:
        return advance(sequence, seq)
    lost = seq or sequence.last + 1
    return replace(advance(sequence, seq) if seq else sequence, lost_through=max(sequence.lost_through, lost))


def healed(sequence: Sequence, snapshot_seq: int) -> Sequence:
    """Account for a snapshot taken at `snapshot_seq`: what came before it no longer matters.

    >>> healed(Sequence(last=9, missing=((3, 3),), lost_through=7), 8)
    Sequence(last=9, missing=(), waived=((3, 3),), snapshot=8, lost_through=0, restarted=False, first='')
    """
    if sequence.restarted or snapshot_seq > sequence.last + MAX_JUMP:
        first = sequence.first if snapshot_seq == 1 else ""
        return Sequence(last=snapshot_seq, snapshot=snapshot_seq, first=first)
    sequence = advance(sequence, snapshot_seq)
    return replace(
        sequence,
        missing=_above(sequence.missing, snapshot_seq),
        waived=_joined(sequence.waived, _upto(sequence.missing, snapshot_seq)),
        snapshot=max(sequence.snapshot, snapshot_seq),
        lost_through=sequence.lost_through if sequence.lost_through > snapshot_seq else 0,
    )


def forgiven(sequence: Sequence, seq: int) -> Sequence:
    """Account for a book, `seq`, of a provider of odds alone: each is whole, what was lost long before is no matter."""
    if sequence.restarted:
        return Sequence(last=seq, first=sequence.first)
    missing = _above(sequence.missing, sequence.last - ODDS_WINDOW)
    if missing == sequence.missing and not sequence.lost_through:
        return sequence
    return replace(sequence, missing=missing, lost_through=0)


def is_new(sequence: Sequence, seq: int) -> bool:
    """Say whether record number `seq` has not come before, as far as the numbers tell."""
    return seq > sequence.last or _holds(sequence.missing, seq) or _holds(sequence.waived, seq)


def _awaiting(sequence: Sequence, first: int, final: int, last: int) -> Sequence:
    if first > final:
        return replace(sequence, last=last)
    missing = _joined(sequence.missing, ((first, final),))
    if len(missing) <= MAX_RUNS:
        return replace(sequence, last=last, missing=missing)
    oldest, lost_through = missing[:1], max(sequence.lost_through, missing[0][1])
    waived = _joined(sequence.waived, oldest)
    return replace(sequence, last=last, missing=missing[1:], waived=waived, lost_through=lost_through)


def _holds(numbers: Numbers, seq: int) -> bool:
    return any(first <= seq <= last for first, last in numbers)


def _without(numbers: Numbers, seq: int) -> Numbers:
    return (*_upto(numbers, seq - 1), *_above(numbers, seq))


def _upto(numbers: Numbers, seq: int) -> Numbers:
    return tuple((first, min(last, seq)) for first, last in numbers if first <= seq)


def _above(numbers: Numbers, seq: int) -> Numbers:
    return tuple((max(first, seq + 1), last) for first, last in numbers if last > seq)


def _joined(older: Numbers, newer: Numbers) -> Numbers:
    """Return both, neighbours as one run; of very many the newest."""
    runs: list[tuple[int, int]] = []
    for first, last in sorted((*older, *newer)):
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(last, runs[-1][1]))
        else:
            runs.append((first, last))
    return tuple(runs[-MAX_RUNS - 1 :])
