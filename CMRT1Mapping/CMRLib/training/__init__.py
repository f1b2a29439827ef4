"""The one trainer of all networks; torch is needed, so import it inside functions."""
