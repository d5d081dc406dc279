"""From the results of a run or of an evaluation to its page."""
