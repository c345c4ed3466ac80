"""Stage `report`: one self-contained page with every figure and table of the paper for this run."""
