"""What may be read and written: personal information, word lists, classifiers and the policy that weighs them."""
