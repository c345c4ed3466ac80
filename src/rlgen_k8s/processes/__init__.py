"""Child processes that cannot outlive whoever started them."""
