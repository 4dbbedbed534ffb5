"""``make bench``: what waiting for videos costs, beside what people use today. See :mod:`benchmarks.__main__`."""
