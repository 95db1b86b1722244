"""Data as they are given: numbers, labels and datasets, checked before they are used."""
