"""What patches do to a model: readings, verdicts with intervals, reports."""
