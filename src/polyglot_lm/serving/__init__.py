"""The demo server: engines that write, a guard that reads along, curators who decide, and the API and page in front.

A request passes access → guard (prompt) → engine → guard (completion) → stream; what the guard holds back goes to the
curators' queue. Nothing here imports torch before an engine that needs it starts.
"""
