"""Processes: starting one (`child`), the other end of one (`worker`), and what it reports (`progress`)."""
