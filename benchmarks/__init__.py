"""``make bench``: what waiting for videos costs, beside what people use today."""
