"""The tables of the page, each a function from the run to a `Table`."""
