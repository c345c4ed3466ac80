"""The figures of the page, each a function from results to an SVG text."""
