"""Competence and balance: held-out bits, references, the balance report."""
