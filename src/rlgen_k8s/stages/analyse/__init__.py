"""Stage `analyse`: what SFT and RL changed, and the features that carry RL's gains (paper 3.1, 3.2, 5 to 7)."""
