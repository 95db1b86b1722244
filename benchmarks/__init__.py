"""Benchmarks: one module per claim about speed or quality.

Its `run(report)` measures partita and a peer in turn and reports the ratio.
"""
