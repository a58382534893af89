"""The experiment: many small trainings under one protocol, on any machine, and what they say."""
