"""What a side is made of → pairs that are mostly digits or mostly signs."""

from dataservice.prepare.filters.side import Batch, Counts, Side
from dataservice.prepare.text.points import Mask


def digits(batch: Batch) -> Mask:
    """More than `max_digit_share` of a side's visible characters are digits."""
    limit = batch.settings.max_digit_share
    if limit >= 1:
        return batch.nothing
    return batch.any_side(lambda side: side.digit_counts > limit * side.visible)


def symbols(batch: Batch) -> Mask:
    """More than `max_symbol_share` of a side's visible characters are neither letter nor digit."""
    limit = batch.settings.max_symbol_share
    if limit >= 1:
        return batch.nothing
    return batch.any_side(lambda side: symbol_counts(side) > limit * side.visible)


def symbol_counts(side: Side) -> Counts:
    """Visible characters of each text that are neither letters nor digits [N]."""
    own, other = side.letters
    return side.lengths - side.space_counts - own - other - side.digit_counts
