"""What a sweep's scores can tell and what they cannot: intervals, comparisons, correction for selection, effects."""
