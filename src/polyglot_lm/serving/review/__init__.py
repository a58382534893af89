"""Where curators decide: the queue on disk, their accounts, and their pages."""

from polyglot_lm.serving.review.accounts import Accounts
from polyglot_lm.serving.review.decisions import Decision, ReviewConflictError
from polyglot_lm.serving.review.store import Filters, Reviews

__all__ = ["Accounts", "Decision", "Filters", "ReviewConflictError", "Reviews"]
