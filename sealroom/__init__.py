"""Run one party's hidden code on another party's hidden data, and release only what the owners agreed to."""

__version__ = "0.1.0"
