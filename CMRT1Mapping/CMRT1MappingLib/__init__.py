"""T1 mapping from inversion-recovery images: signal model, polarity, sampling schemes and the fit."""
