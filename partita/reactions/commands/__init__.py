"""The commands `partita simulate` and `partita fit`."""
