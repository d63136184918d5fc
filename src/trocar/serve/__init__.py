"""The server: several users annotate on one model, and nothing that was acknowledged is lost."""
