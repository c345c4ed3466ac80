"""`rlgen doctor`: what a submission needs, checked before it is sent; one line a check, with what to do."""
