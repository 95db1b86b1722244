"""One module per claim about speed or quality: its `run(report)` measures partita and a peer in turn and reports the ratio."""
