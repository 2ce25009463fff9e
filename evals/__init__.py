"""The evaluation pipeline: which provider gives the best answers per dollar and per second."""
