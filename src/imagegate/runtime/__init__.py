"""Puts everything together and keeps it going: assembly, supervision, recovery, clean-up."""
