"""Libraries that this package works with, one file each. Nothing here is imported until it is asked for."""
