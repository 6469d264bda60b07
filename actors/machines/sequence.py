"""Gap accounting: which of a provider's numbered records have come, and which are awaited."""

from msgspec.structs import replace

from actors.domain.match import Sequence

REORDER_WINDOW = 64  # missing numbers that are waited for; a feed that lost more needs a snapshot


def advance(sequence: Sequence, seq: int) -> Sequence:
    """Account for record number `seq`.

    >>> advance(Sequence(last=4), 7).missing
    (5, 6)
    """
    if seq <= sequence.last:
        return replace(sequence, missing=_without(sequence, seq)) if seq in sequence.missing else sequence
    if len(sequence.missing) + seq - sequence.last - 1 > REORDER_WINDOW:
        return replace(sequence, last=seq, missing=(), lost_through=seq - 1)
    return replace(sequence, last=seq, missing=(*sequence.missing, *range(sequence.last + 1, seq)))


def alive(sequence: Sequence, last_sent: int) -> Sequence:
    """Account for a tick: everything up to `last_sent` was sent, so what has not come is missing."""
    if last_sent <= sequence.last:
        return sequence
    through = advance(sequence, last_sent)
    if through.lost_through == last_sent - 1:
        return replace(through, lost_through=last_sent)
    return replace(through, missing=(*through.missing, last_sent))


def lose(sequence: Sequence, seq: int) -> Sequence:
    """Account for a record that came but cannot be used; `seq` is 0 where not even its number can be read."""
    sequence = advance(sequence, seq) if seq else sequence
    return replace(sequence, lost_through=max(sequence.lost_through, seq, sequence.last, 1))


def healed(sequence: Sequence, snapshot_seq: int) -> Sequence:
    """Account for a snapshot taken at `snapshot_seq`: what came before it no longer matters.

    >>> healed(Sequence(last=9, missing=(3,), lost_through=7), 8)
    Sequence(last=9, missing=(), lost_through=0, restarted=False)
    """
    if sequence.restarted:
        return Sequence(last=snapshot_seq)
    missing = tuple(number for number in sequence.missing if number > snapshot_seq)
    lost = sequence.lost_through if sequence.lost_through > snapshot_seq else 0
    return Sequence(last=max(sequence.last, snapshot_seq), missing=missing, lost_through=lost)


def is_new(sequence: Sequence, seq: int) -> bool:
    """Say whether record number `seq` has not come before, as far as the numbers tell."""
    return seq > sequence.last or seq in sequence.missing


def _without(sequence: Sequence, seq: int) -> tuple[int, ...]:
    return tuple(number for number in sequence.missing if number != seq)
