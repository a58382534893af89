"""Polyglot: make large language models of well-balanced competence in several languages."""

__version__ = "0.1.0"
