"""Processes: starting one (`child`), the other end of one (`worker`), what it reports (`progress`), and
what it died of (`deaths`).
"""
